// The listener of a job: the stages that were named, each with its own key, and nobody else.
//
// With a ticket keys become known while the job runs, and whoever holds the ticket can claim any
// stage. Until a stage has been met, the latest claim counts; then it keeps its place as long as
// this process lives, and whoever claims it as well is told so.

#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/net/company.h"

namespace ptrain::net {

// Keys that claim a place which is taken: of more, some are not told why they are not let in.
inline constexpr std::size_t kMaxNewcomers = 16;

// "stage-3", and back.
std::string role_of(StageIndex stage);
std::optional<StageIndex> stage_of_role(std::string_view role);

class StageAdmission final : public Company {
 public:
  // Who may dial, and with which key; without CURVE (`keyed` false) keys are not asked for. With
  // none, those who are admitted later: who is not yet known may be by and by, and is told nothing.
  StageAdmission(std::map<StageIndex, std::optional<PublicKey>> stages, bool keyed);

  bool admits(const PublicKey& key) const override;
  std::string remedy_for(const PublicKey& key) const override;
  Verdict judge(const Caller& caller) override;
  void left(PeerHandle) override {}

  // Of these stages relays tell us, who are that one. Once, before they do.
  void meets(StageIndex self, std::set<StageIndex> peers);
  std::optional<Tie> tie_to(std::string_view role) override;
  std::set<std::string> sought_roles() const override;
  std::vector<PeerHandle> awaited() const override;
  bool admit(std::string_view role, const PublicKey& key) override;
  bool has_key(std::string_view role, const PublicKey& key) const override;
  // Until another key is admitted for the stage that has this one, nobody is.
  std::vector<PeerHandle> bar(const PublicKey& key) override;
  // The key that the stage has stays.
  void met(PeerHandle peer) override;
  std::string called(std::string_view role) const override;

  // The handle of a stage, everywhere in a mesh.
  static PeerHandle handle_of(StageIndex stage) { return PeerHandle(stage.value()); }

 private:
  struct Place {
    std::optional<PublicKey> key;
    bool met = false;
  };

  Rejection unknown(StageIndex stage) const;
  Rejection wrong_key(StageIndex stage, const Place& place, const std::string& key) const;

  StageIndex self_;
  std::set<StageIndex> peers_;
  std::map<StageIndex, Place> stages_;
  std::set<PublicKey> newcomers_;
  bool keyed_;
  bool named_;  // all of them, from the beginning
};

}  // namespace ptrain::net
