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
}

struct ProbeReport {
  # The server's.
  union {
    granted @0 :ProbeOrder.Limits;  # the server's where these are lower
    busy @1 :UInt64;            # microseconds that another asker has the place for, at most
    echo @2 :UInt64;
    arrived @3 :Arrived;        # at most every 20 ms
    sent @4 :UInt64;            # bytes in all; nothing follows
  }

  struct Arrived {
    bytes @0 :UInt64;           # since the test began
    microseconds @1 :UInt64;    # since the first of them
  }
}
