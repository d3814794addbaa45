@0xd3b1c0f5a9e84b27;
# What a relay keeps in its state folder, so that a restart forgets nobody
# (tools/relay/control/state_file.h). Evolve by appending fields with new ordinals.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("ptrain::schema");

struct RelayState {
  version @0 :UInt16;
  # When it was written, by two clocks: the second one is not set by anyone, and ends with
  # the boot that bootId names.
  wallMs @1 :Int64;
  bootMs @2 :Int64;
  bootId @3 :Text;
  highestVersion @4 :UInt64;     # of all runs
  members @5 :List(Member);

  struct Member {
    record @0 :Data;
    signature @1 :Data;
    host @2 :Text;
    leaseMs @3 :UInt32;          # what was left of it
  }

  revocations @6 :List(Revocation);
  claims @7 :List(Claim);

  struct Revocation {
    runKey @0 :Data;
    peerKey @1 :Data;
    signature @2 :Data;
  }
  struct Claim {
    runKey @0 :Data;
    name @1 :Text;
    number @2 :UInt64;
    holderKey @3 :Data;          # empty: of a file that has only numbers
    holderRole @4 :Text;
    host @5 :Text;               # what the holder counts as for limits
    holdMs @6 :UInt32;           # what was left of it
  }

  closed @8 :Bool;               # the last thing that its process did: nothing was granted since
  claimFloor @9 :UInt64;         # no smaller number is granted anew
}
