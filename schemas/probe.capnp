@0xd3a8c1f07be2946d;
# What an asker and a server of probes tell one another (man ptrain-net.7). Each root struct is the
# payload of one control message, which bears the number of the test as the step of its name; what
# is sent to be measured goes as it is in bulk messages of the same number. wire/probe.h has the
# value types and the bounds. Evolve by appending fields with new ordinals.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("ptrain::schema");

struct ProbeOrder {
  # The asker's. Without the place, which one asker has at a time, only reserve is obeyed.
  union {
    reserve @0 :Limits;         # answered by granted or by busy
    echo @1 :UInt64;            # answered at once by the same number
    receive @2 :Limits;         # the asker is about to send; answered by what has arrived
    send @3 :Send;              # answered by bulk messages, and then by sent
    halt @4 :Void;              # enough has come, or been sent
    release @5 :Void;           # the place may be another's
    seek @6 :List(Text);        # servers of the run, by name, that errands may lead to; no answer
    errand @7 :Errand;          # measure the link to one of these; answered by measured
  }

  struct Limits {
    # Of each way.
    bytes @0 :UInt64;
    microseconds @1 :UInt64;
    bytesPerSecond @2 :UInt64;  # 0: none
  }
  struct Send {
    limits @0 :Limits;
    roundTripMicroseconds @1 :UInt64;  # so that no more is under way than that needs
  }
  struct Errand {
    to @0 :Text;
    limits @1 :Limits;
    toPeer @2 :Bool;            # which ways
    fromPeer @3 :Bool;
    beside @4 :Bool;            # the server may answer another asker meanwhile
  }
}

struct ProbeReport {
  # The server's.
  union {
    granted @0 :ProbeOrder.Limits;  # the server's where these are lower
    busy @1 :UInt64;            # microseconds that another asker has the place for, at most
    echo @2 :UInt64;
    arrived @3 :Arrived;        # at most every 20 ms
    sent @4 :UInt64;            # bytes in all; nothing follows
    measured @5 :Measured;      # on an errand
  }

  struct Arrived {
    bytes @0 :UInt64;           # since the test began
    microseconds @1 :UInt64;    # since the first of them
  }
  struct Measured {
    failure @0 :Text;           # why there are no figures; empty: there are
    busy @1 :Bool;              # that is why
    path @2 :Text;
    route @3 :Text;             # "direct"; empty: not known
    roundTrips @4 :RoundTrips;
    toPeer @5 :Way;             # of a way that was not wanted nothing is read
    fromPeer @6 :Way;
  }
  struct RoundTrips {
    count @0 :UInt32;
    least @1 :UInt64;           # microseconds
    median @2 :UInt64;
    p99 @3 :UInt64;
    jitter @4 :UInt64;
  }
  struct Way {
    # Bytes a second; 0: not known.
    rate @0 :Float64;
    low @1 :Float64;            # by 95 %
    high @2 :Float64;
    coarse @3 :Float64;
    steady @4 :Bool;
    limitedBy @5 :UInt8;        # nothing, bytes, time, rate
    bytes @6 :UInt64;
    microseconds @7 :UInt64;
    loadedMedian @8 :UInt64;    # microseconds of a round trip meanwhile; 0: not known
    loadedP99 @9 :UInt64;
  }
}
