@0x90e8e5f3795915b6;
# The header frame of everything that a session puts on a connection (man ptrain-net.7).
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
    retired8 @8 :Void;         # a tally, in version 2
  }
  ordinal @7 :UInt64;          # of the frame on its connection, from 1
}

struct Hello {
  # The first frame on every connection, both ways. Its first fields are read of any version, so
  # that a peer with another one can be named.
  run @0 :Text;
  jobHash @1 :Text;
  stageCount @2 :UInt32;
  dataFingerprint @3 :Text;    # empty: not compared
  stage @4 :UInt32;            # who speaks
  incarnation @5 :UInt64;      # drawn once per session of a process
  purpose @6 :UInt8;           # of this connection: control, bulk
  received @7 :Acknowledgement;
  retired8 @8 :AnyPointer;     # which strand of a bundle this is, in version 2
  number @9 :UInt64;           # of this connection, drawn by who dials
  line @10 :UInt64;            # it takes the place of an earlier one of the same line
  to @11 :UInt64;              # incarnation of the peer that the session is with; 0: not known yet
  terms @12 :Text;             # what the hashes are of, in words of the application; may be empty
}

struct Acknowledgement {
  # All of it cumulative, so that losing one costs nothing.
  control @0 :Received;
  pipeline @1 :Received;
  goodbye @2 :Bool;            # the peer's goodbye has arrived
  pong @3 :UInt64;             # the number of the last ping on this connection
  reduce @4 :Received;
  links @5 :List(Link);

  struct Received {
    next @0 :UInt64;           # every frame before this one has arrived
    creditLimit @1 :UInt64;    # cost that may be sent since the session began
    retired2 @2 :Bool;
  }

  struct Link {
    # What has arrived over one connection, so that the sender knows what is on it still.
    number @0 :UInt64;
    ordinal @1 :UInt64;        # every frame up to this one
  }
}

struct Data {
  urgency @0 :UInt8;
  sequence @1 :UInt64;         # of the frame, among those of its urgency
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
    source @4 :UInt32;         # its stage
    lane @5 :UInt32;
    part @6 :UInt64;
  }

  struct Tensor {
    dtype @0 :UInt8;
    shape @1 :List(Int64);
    codec @2 :Text;
  }
}

struct Ping {
  number @0 :UInt64;
  retired1 @1 :UInt64;
  padding @2 :List(UInt8);     # zeros: a route on trial must pass what is as large as data
}

struct Goodbye {
  failed @0 :Bool;             # the peer ended in an error, and `reason` says which
  reason @1 :Text;
  controlFrames @2 :UInt64;    # frames sent in all, so that the last is known
  pipelineFrames @3 :UInt64;
  retry @4 :Bool;              # a refusal that another attempt, later, may not meet
  reduceFrames @5 :UInt64;
}
