#include "libcommon/portmap/gateway_survey.h"

#include <utility>

#include "libcommon/base/error.h"

namespace ptrain::punch {
namespace {

std::vector<Gateway> all_gateways() {
  std::vector<Gateway> gateways = v4_gateways();
  for (Gateway& gateway : v6_gateways()) gateways.push_back(std::move(gateway));
  return gateways;
}

}  // namespace

GatewaySurvey::GatewaySurvey(const net::KeyPair& key)
    : loop_(clock_),
      services_(loop_, all_gateways(), key, [this](const Outcome& outcome) { came(outcome); }) {
  if (services_.size() > 0) return;
  throw Error(ErrorKind::unavailable, "there is no router to ask: no default route has a gateway",
              "a host that is on the internet itself needs no mapping");
}

void GatewaySurvey::run(const Then& first) {
  loop_.defer([this, first] {
    first();
    settle();
  });
  loop_.run();
}

std::vector<Ask> GatewaySurvey::looks() const {
  std::vector<Ask> asks;
  for (SourceNumber i = 0; i < services_.size(); ++i) asks.push_back({.source = i, .what = Look{}});
  return asks;
}

void GatewaySurvey::ask_all(const std::vector<Ask>& asks,
                            std::function<void(const std::vector<Outcome>&)> then) {
  outcomes_.clear();
  awaited_ = asks.size();
  then_ = std::move(then);
  for (const Ask& ask : asks) services_.ask(ask);
}

void GatewaySurvey::list(SourceNumber source, IgdWorker::Listed then) {
  ++listing_;
  services_.list(source, [this, then = std::move(then)](const std::vector<ListedMapping>& listed) {
    --listing_;
    then(listed);
    settle();
  });
}

void GatewaySurvey::came(const Outcome& outcome) {
  outcomes_.push_back(outcome);
  if (outcomes_.size() == awaited_) {
    awaited_ = 0;
    const auto then = std::exchange(then_, {});
    then(std::exchange(outcomes_, {}));
  }
  settle();
}

void GatewaySurvey::settle() {
  if (awaited_ == 0 && listing_ == 0) loop_.stop();
}

}  // namespace ptrain::punch
