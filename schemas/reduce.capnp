@0xa7c5d2e94b1f8036;
# What members of a sum over lanes send one another (man ptrain-net.7). The struct is the payload
# of one message, and the next message of the same sender and urgency bears the encoded numbers as
# they are, so that they are copied nowhere. reduce/part_message.h has the value types and the
# bounds. Evolve by appending fields with new ordinals.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("ptrain::schema");

struct ReducePart {
  sum @0 :UInt64;              # which sum; later ones have larger numbers
  kind @1 :UInt8;              # 0: subtotal, to the owner of a chunk; 1: total, from it
  firstLane @2 :UInt32;        # of the lanes that were added up
  endLane @3 :UInt32;
  piece @4 :UInt32;            # of the owner's chunk
  bytes @5 :UInt64;            # of the numbers that follow
}
