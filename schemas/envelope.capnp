@0x90e8e5f3795915b6;
# The header frame of everything that a session puts on a path (man ptrain-net.7).
# A frame is this struct, and, for data, one ZeroMQ part of raw payload after it.
# wire/frame.h has the value types, wire/envelope.h the limits that reading enforces.
# Evolve by appending fields with new ordinals; raise the version only for a change
# that an older peer would misread.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("ptrain::schema");

struct Envelope {
  magic @0 :UInt32;            # 0x7074726e: what is not ours is told apart at once
  version @1 :UInt16;          # of the protocol; kept first so that any version can read it
  union {
    hello @2 :Hello;
    data @3 :Data;
    acknowledgement @4 :Acknowledgement;
    ping @5 :Ping;
    goodbye @6 :Goodbye;
    tally @8 :Tally;
  }
  ordinal @7 :UInt64;          # of the frame within its bundle, from 1; 0: not in a bundle
}

struct Hello {
  # The first frame on every path, both ways.
  run @0 :Text;
  jobHash @1 :Text;
  stageCount @2 :UInt32;
  dataFingerprint @3 :Text;    # empty: not compared
  stage @4 :UInt32;            # who speaks
  incarnation @5 :UInt64;      # drawn once per process
  channel @6 :UInt8;           # that this path is for
  received @7 :Acknowledgement;
  strand @8 :Strand;           # which connection of which bundle this is

  struct Strand {
    bundle @0 :UInt64;         # drawn by who dials
    number @1 :UInt8;
    count @2 :UInt8;           # connections in the bundle; 0: not a bundle
  }
}

struct Acknowledgement {
  # All of it cumulative, so that losing one costs nothing.
  control @0 :Received;
  bulk @1 :Received;
  goodbye @2 :Bool;            # the peer's goodbye has arrived
  pong @3 :UInt64;             # the number of the last ping on this path

  struct Received {
    next @0 :UInt64;           # every frame before this one has arrived
    creditLimit @1 :UInt64;    # cost that may be sent since the session began
    missing @2 :Bool;          # frame `next` was lost or damaged: send again from there
  }
}

struct Data {
  channel @0 :UInt8;
  sequence @1 :UInt64;         # of the frame, on its channel
  checksum @2 :UInt64;         # XXH3-64 of the payload part
  begins @3 :Bool;             # the frame is the first of a message; name and tensor are set
  name @4 :Name;
  tensor @5 :Tensor;
  messageBytes @6 :UInt64;     # whole payload of the message, set in its first frame

  struct Name {
    epoch @0 :UInt64;
    step @1 :UInt64;
    microbatch @2 :UInt32;
    kind @3 :UInt16;
    source @4 :UInt32;
  }

  struct Tensor {
    dtype @0 :UInt8;
    shape @1 :List(Int64);
    codec @2 :Text;
  }
}

struct Ping {
  number @0 :UInt64;
  sent @1 :UInt64;             # frames sent so far on this path's channel
  padding @2 :List(UInt8);     # zeros: a path on trial must pass what is as large as data
}

struct Tally {
  # Within a bundle: what has arrived over this connection, so that the sender knows which
  # of its connections is the least busy.
  cost @0 :UInt64;
}

struct Goodbye {
  failed @0 :Bool;             # the peer ended in an error, and `reason` says which
  reason @1 :Text;
  controlFrames @2 :UInt64;    # frames sent in all, so that the last is known
  bulkFrames @3 :UInt64;
  retry @4 :Bool;              # a refusal that another attempt, later, may not meet
}
