// Which parts of a model's weights lanes exchange after which step: all at once as in DiLoCo, or
// fragment by fragment as in streaming DiLoCo (arXiv 2501.18512). Pure.
//
// With one fragment everything is in it. With P > 1, layer i is in fragment i mod P, so that each
// fragment has layers of all depths; the embedding is a fragment by itself, and what follows the
// layers another one, unless it is the embedding, tied. Nothing here depends on how the job is cut.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/reduce/chunking.h"

namespace ptrain::reduce {

using FragmentIndex = StrongInteger<struct FragmentTag, std::uint32_t>;

inline constexpr std::uint32_t kMaxFragments = 1024;

enum class PartPlace : std::uint8_t {
  embedding,
  layer,
  ending,  // the last norm and an untied head
};

// What is never cut: a layer, or a part of one, or an end.
struct VectorPart {
  PartPlace place = PartPlace::layer;
  std::uint32_t layer = 0;  // where it is one, of the whole model
  std::uint64_t elements = 0;
};

// A flat vector of parts, each of which takes whole blocks of kBlockElements and ends with zeros:
// so what a codec makes of a part does not depend on which others a process holds with it.
struct VectorLayout {
  std::vector<ElementRange> parts;
  std::uint64_t elements = 0;
};
// Throws Error(usage) for more than kMaxElements.
VectorLayout lay_out(std::span<const VectorPart> parts);

struct OuterSchedule {
  std::uint64_t steps = 1;      // of the whole run: after the last one everything is exchanged
  std::uint64_t every = 1;      // H: inner steps between two exchanges of a fragment
  std::uint32_t fragments = 1;  // P
  std::uint64_t overlap = 0;    // steps that an exchange may take while the lanes go on
};

// What is wrong with it; nullopt if nothing.
std::optional<std::string> flaw_of(const OuterSchedule& schedule);

// Of the whole model: 1, or P and those of the ends.
std::uint32_t fragment_count(std::uint32_t fragments);
// Which fragment a part is in.
FragmentIndex fragment_of(std::uint32_t fragments, const VectorPart& part);
// The parts of one fragment, by index, ascending.
std::vector<std::size_t> parts_of(std::uint32_t fragments, FragmentIndex fragment,
                                  std::span<const VectorPart> parts);

struct Exchange {
  FragmentIndex fragment;
  std::uint64_t begun_after = 0;  // which step, of 1 to `steps`: that of its pseudo-gradient

  bool operator==(const Exchange&) const = default;
};

// The exchanges that begin after a step, and those whose outer step is done, and mixed into the
// lanes' weights, after it, in this order. Precondition: no flaw.
//
// An exchange begins every `every` steps, fragments in turn, spread evenly; it ends `overlap` steps
// later. After the last step those under way end, then every fragment is exchanged once more, at
// once, so that the anchor has it all. At most one of a fragment is under way.
std::vector<Exchange> begin_after(const OuterSchedule& schedule, std::uint64_t step);
std::vector<Exchange> end_after(const OuterSchedule& schedule, std::uint64_t step);

}  // namespace ptrain::reduce
