@0xf8f4cde7d060125b;
# What peers and a relay say to each other on its control port (man ptrain-net.7).
# One struct is one ZeroMQ part; net/relay_protocol.h has the value types and
# net/relay_codec.h the limits that reading enforces. Who speaks is never a field:
# the relay takes it from the CURVE key of the connection. Evolve by appending
# fields with new ordinals.
#
# Requests and answers of another protocol version are refused, with both versions named. So that
# they can be, three things never change: magic, version and id of both, the place of `refused` in
# Answer, and Refused itself. A relay refuses in the version of who asks.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("ptrain::schema");

struct PeerRecord {
  # Signed, byte for byte, with the member key, which every holder of the run's ticket derives.
  runKey @0 :Data;               # Ed25519 public key of the run's issuer: names the run
  peerKey @1 :Data;              # CURVE public key of the peer
  role @2 :Text;                 # "stage-3"
  sequence @3 :UInt64;           # a larger one replaces a smaller one
  candidates @4 :List(Text);     # endpoints without key, best first
  relays @5 :List(Text);         # of the peer's ticket, as words: tcp://HOST:PORT#KEY,data=PORT
  grant @6 :Grant;               # of its ticket
}

struct SignedRecord {
  record @0 :Data;               # a PeerRecord
  signature @1 :Data;            # Ed25519
}

struct Grant {
  # The issuer's word: whoever signs with the member key may join the run until then.
  memberKey @0 :Data;            # Ed25519 public key
  expires @1 :Int64;             # seconds since 1970
  signature @2 :Data;            # Ed25519, with the issuer's key
}

struct Revocation {
  # The issuer's word: that peer may not join the run any more.
  runKey @0 :Data;
  peerKey @1 :Data;
  signature @2 :Data;            # Ed25519, with the issuer's key
}

struct Membership {
  runKey @0 :Data;
  role @1 :Text;
}

struct Request {
  magic @0 :UInt32;              # 0x70747272
  version @1 :UInt16;
  id @2 :UInt64;                 # comes back in the answer; not 0
  union {
    register @3 :SignedRecord;
    renew @4 :Renewal;
    leave @5 :Membership;
    lookUp @6 :LookUp;
    watch @7 :Watch;
    introduce @8 :Introduction;
    survey @9 :Survey;           # the operator's: with the relay's own key only
    mirror @10 :Mirror;          # a neighbour's: a relay that the operator named
    forward @11 :Forward;        # a neighbour's
    claim @12 :Claim;
    revoke @13 :Revocation;      # whoever brings it: the issuer has signed it
  }

  struct Renewal {
    as @0 :Membership;
    note @1 :Text;               # what the peer says of its paths; shown to the operator
  }
  struct LookUp {
    as @0 :Membership;
    role @1 :Text;               # empty: all
    after @2 :Place;             # where the last page ended
  }
  struct Watch {
    as @0 :Membership;
    on @1 :Bool;
  }
  struct Introduction {
    as @0 :Membership;
    to @1 :Place;
    paths @2 :UInt8;             # relayed connections that are wanted
  }
  struct Survey {
    subject @0 :UInt8;           # peers, runs, totals
    after @1 :UInt64;            # where the last page ended
  }
  struct Claim {
    # A lease of the run's, by a name, with a number that only grows: who holds it at a majority
    # of the ticket's relays is the only one that acts under that number. Numbers begin at the
    # milliseconds since 1970 at which a relay began, and may be a day ahead of that.
    as @0 :Membership;
    name @1 :Text;               # "driver"
    number @2 :UInt64;           # larger than any that was ever granted, or the holder's own;
                                 # 0: the next one, or the holder's own
    holdMs @3 :UInt32;           # at most a registration's lease; 0: given back
  }
  struct Mirror {
    # What has changed among the members that are registered with the relay itself.
    since @0 :UInt64;            # where the last page ended; 0: all
    holdMs @1 :UInt32;           # how long the answer may wait for a change
    listing @2 :UInt64;          # the latest change when the page came that began afresh;
                                 # 0: that is complete
  }
  struct Forward {
    # For a member that is registered with the relay that gets this.
    runKey @0 :Data;
    to @1 :Place;
    record @2 :SignedRecord;     # of the other side: an introduction; none: fresh tokens
    tokens @3 :List(Answer.PathToken);  # of the sender's data port
  }
}

struct Place {
  # One registration of a run.
  peerKey @0 :Data;              # empty: before all
  role @1 :Text;
}

struct Answer {
  magic @0 :UInt32;
  version @1 :UInt16;
  id @2 :UInt64;                 # of the request; 0: not asked for
  union {
    refused @3 :Refused;
    granted @4 :Granted;         # to register, renew, watch
    left @5 :Void;
    found @6 :Found;
    introduced @7 :Introduced;   # to both sides
    appeared @8 :Appeared;       # to watchers: new, or changed
    departed @9 :Departed;       # to watchers
    fresh @10 :PathToken;        # in place of a token that was used
    farewell @11 :Void;          # the relay is about to end
    surveyed @12 :Surveyed;
    mirrored @13 :Mirrored;
    forwarded @14 :Void;
    claimed @15 :Claimed;
    revoked @16 :Revocation;     # to who brought it, and to watchers
  }

  struct Refused {
    reason @0 :UInt16;
    text @1 :Text;
    retryMs @2 :UInt32;          # 0: trying again cannot help
    absent @3 :Bool;             # the relay has seen the connection of who was asked for end
  }
  struct Granted {
    leaseMs @0 :UInt32;
    registryVersion @1 :UInt64;  # of the run: a watcher that knows of another looks up anew
    observedHost @2 :Text;       # where the relay sees the peer
    echoPorts @3 :List(UInt16);  # two, of the relay's host, or none
  }
  struct Found {
    records @0 :List(SignedRecord);
    complete @1 :Bool;
    registryVersion @2 :UInt64;
  }
  struct Introduced {
    record @0 :SignedRecord;     # of the other side
    asker @1 :Bool;              # whether the receiver is the one who asked
    startMs @2 :UInt32;          # from the receipt: when both begin to dial
    tokens @3 :List(PathToken);
  }
  struct Claimed {
    granted @0 :Bool;
    number @1 :UInt64;           # the largest that was ever granted here
    holder @2 :Place;            # who has it; empty: nobody that is known
    holdMs @3 :UInt32;           # and for how long still nobody else gets it
  }
  struct PathToken {
    to @0 :Place;
    path @1 :UInt8;
    token @2 :Text;
    relay @3 :Data;              # whose data port takes it; empty: that of the relay that says so
  }
  struct Appeared {
    record @0 :SignedRecord;
    registryVersion @1 :UInt64;
  }
  struct Departed {
    runKey @0 :Data;
    who @1 :Place;
    registryVersion @2 :UInt64;
  }
  struct Surveyed {
    lines @0 :List(Text);        # JSON objects
    next @1 :UInt64;             # 0: that was all
  }
  struct Mirrored {
    afresh @0 :Bool;             # from the beginning: who is not named until it is complete is gone
    records @1 :List(SignedRecord);
    gone @2 :List(Gone);
    upTo @3 :UInt64;             # where to go on
    complete @4 :Bool;
    latest @5 :UInt64;           # change
    revocations @6 :List(Revocation);
  }
  struct Gone {
    runKey @0 :Data;
    who @1 :Place;
  }
}
