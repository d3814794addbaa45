@0xb1fd20f4c258c14d;
# What a fetcher of checkpoints and a holder of them tell one another (man ptrain-net.7).
# Each root struct is the payload of one control message, which bears the request's number
# as the step of its name; bytes travel as they are in a bulk message of the same number.
# transfer/protocol.h has the value types. Evolve by appending fields with new ordinals.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("ptrain::schema");

struct TransferRequest {
  # The fetcher asks; the holder answers each request once, in any order.
  union {
    list @0 :Void;              # answered by a listing
    manifest @1 :Manifest;      # by bytes, as are the other two
    record @2 :Record;
    chunk @3 :Chunk;
  }

  struct Manifest {
    id @0 :Data;                # of the checkpoint, 32 bytes
  }
  struct Record {
    id @0 :Data;
    stage @1 :UInt32;
  }
  struct Chunk {
    id @0 :Data;
    stage @1 :UInt32;
    part @2 :UInt8;             # 0: model, 1: optimiser, 2: tokenizer
    chunk @3 :UInt32;           # the n-th 4 MiB of that file
  }
}

struct TransferAnswer {
  union {
    listing @0 :List(Entry);    # newest first
    refusal @1 :Refusal;
  }

  struct Entry {
    step @0 :UInt64;
    id @1 :Data;
    stageCount @2 :UInt32;
    held @3 :List(UInt32);      # stages whose files are here
  }
  struct Refusal {
    kind @0 :UInt8;             # 0: not here, 1: here and damaged
    why @1 :Text;
  }
}
