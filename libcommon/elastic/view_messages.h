// What a driver and the holders say to each other when a view changes. Values; how they cross the
// wire is for others to know.
//
//   driver                                   every peer of the old view and of the new one
//   proposed   Propose{ballot, base}     ->  promises the ballot; tells what it has accepted
//   prepared   Accept{ballot, base, view}->  accepts the view, gets ready for its cells
//   ready      Commit{ballot, view}      ->  follows the view
//   committed

#pragma once

#include <compare>
#include <optional>
#include <variant>

#include "libcommon/elastic/lease.h"
#include "libcommon/job/view.h"

namespace ptrain::elastic {

using job::View;

// `base` is the view that is to be replaced.
struct Propose {
  Ballot ballot;
  View base;
};

struct Accept {
  Ballot ballot;
  View base;
  View view;
};

struct Commit {
  Ballot ballot;
  View view;
};

using Request = std::variant<Propose, Accept, Commit>;

// A view that was accepted as the next one after some base, and under which ballot.
struct AcceptedView {
  Ballot ballot;
  View view;

  auto operator<=>(const AcceptedView&) const = default;
};

// `votes`: it holds a cell of the base, so it counts among those who decide on what follows.
struct Promised {
  Ballot ballot;
  bool votes = false;
  std::optional<AcceptedView> accepted{};

  auto operator<=>(const Promised&) const = default;
};

struct Acknowledged {
  Ballot ballot;
  bool votes = false;
  bool ready = false;  // its cells' state is there, for the view that was accepted

  auto operator<=>(const Acknowledged&) const = default;
};

struct Followed {
  Ballot ballot;

  auto operator<=>(const Followed&) const = default;
};

enum class RefusalReason {
  fenced,        // `promised` is a larger ballot
  overtaken,     // `known` comes after the base
  other_branch,  // `known` is another view of the base's epoch
  not_ready,     // it has not said that it is ready for this view
};

struct Refused {
  Ballot ballot;  // of the request
  RefusalReason reason = RefusalReason::fenced;
  Ballot promised;
  std::optional<View> known{};

  auto operator<=>(const Refused&) const = default;
};

using Answer = std::variant<Promised, Acknowledged, Followed, Refused>;

}  // namespace ptrain::elastic
