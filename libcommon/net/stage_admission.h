// The listener of a job: the stages that were named, each with its own key, and nobody else.

#pragma once

#include <map>
#include <optional>

#include "libcommon/base/units.h"
#include "libcommon/net/admission.h"

namespace ptrain::net {

class StageAdmission final : public Admission {
 public:
  // Who may dial, and with which key; without CURVE (`keyed` false) keys are not asked for.
  StageAdmission(std::map<StageIndex, std::optional<PublicKey>> stages, bool keyed);

  bool admits(const PublicKey& key) const override;
  Verdict judge(const Caller& caller) override;
  void left(PeerHandle) override {}

  // From now on that stage has that key; connections with an earlier one end by themselves.
  void admit(StageIndex stage, const PublicKey& key) { stages_[stage] = key; }

  // The handle of a stage, everywhere in a mesh.
  static PeerHandle handle_of(StageIndex stage) { return PeerHandle(stage.value()); }

 private:
  std::map<StageIndex, std::optional<PublicKey>> stages_;
  bool keyed_;
};

}  // namespace ptrain::net
