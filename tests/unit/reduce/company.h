// All members of a sum in one process, between which a seeded fake carries parts in any order, some
// of them twice; and the sum as one process would compute it, written down once more.

#pragma once

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "libcommon/reduce/all_reduce.h"

namespace ptrain::reduce {

using Vector = std::vector<float>;

// The tree over whole vectors: no pieces, no chunks, no members.
class Reference {
 public:
  Reference(EdgeRule rule, std::uint32_t lanes) : rule_(rule), root_(all_lanes(lanes)) {}

  Vector sum(const std::vector<Vector>& lanes) { return carried(root_, value_of(root_, lanes)); }
  const Vector& residual(const LaneRange& edge) { return residuals_[edge]; }

 private:
  Vector value_of(const LaneRange& node, const std::vector<Vector>& lanes);
  Vector carried(const LaneRange& edge, const Vector& values);

  EdgeRule rule_;
  LaneRange root_;
  std::map<LaneRange, Vector> residuals_;
};

struct Letter {
  MemberIndex from;
  MemberIndex to;
  PartName part;
  wire::Buffer bytes;
};

class LetterBox final : public Post {
 public:
  LetterBox(MemberIndex self, std::vector<Letter>& letters) : self_(self), letters_(letters) {}
  void send(MemberIndex to, const PartName& part, wire::Buffer bytes) override {
    letters_.push_back({self_, to, part, std::move(bytes)});
  }

 private:
  MemberIndex self_;
  std::vector<Letter>& letters_;
};

// Members with their residuals, for one plan.
class Company {
 public:
  explicit Company(ReducePlan plan);

  // One sum, every step of it in an order that `random` chooses; what each member has in the end.
  // In place: the sum goes where the member's first lane was.
  std::vector<Vector> sum(const std::vector<Vector>& lanes, std::mt19937& random,
                          bool in_place = false);
  // Members hold other lanes and own other chunks from now on.
  void change(ReducePlan plan);

  const ReducePlan& plan() const { return plan_; }
  std::vector<Residuals>& residuals() { return residuals_; }
  // A sum's, as far as it came.
  const std::vector<Letter>& letters() const { return letters_; }

 private:
  ReducePlan plan_;
  std::vector<Residuals> residuals_;
  std::vector<Letter> letters_;
};

// Any members, at most as many as lanes, any lanes of theirs, any chunks, pieces and window.
ReducePlan any_plan(std::uint32_t lanes, std::uint32_t most_members, std::uint64_t elements,
                    EdgeRule rule, std::mt19937& random);

}  // namespace ptrain::reduce
