#include "tools/punch/family_mappings.h"

#include <utility>

namespace ptrain::punch {

FamilyMappings::FamilyMappings(os::Loop& loop, Log& log, Family family, std::vector<Port> ports,
                               std::chrono::seconds lease, const net::KeyPair& key,
                               std::function<void()> changed)
    : loop_(loop),
      log_(log),
      family_(family),
      key_(key),
      changed_(std::move(changed)),
      keeper_(std::move(ports), lease),
      announcements_(loop, family,
                     [this](const net::AddressBytes& from) {
                       for (const SourceNumber each : services_->at(from)) {
                         keeper_.announced(each, loop_.now());
                       }
                       pump();
                     }),
      timer_(loop.timer([this] { turn(); })),
      route_timer_(loop.timer([this] { look_at_routes(); })) {
  reach_gateways(gateways_now());
}

std::vector<Gateway> FamilyMappings::gateways_now() const {
  return family_ == Family::v4 ? v4_gateways() : v6_gateways();
}

void FamilyMappings::reach_gateways(std::vector<Gateway> gateways) {
  gateways_ = std::move(gateways);
  services_ =
      std::make_unique<GatewayServices>(loop_, gateways_, key_, [this](const Outcome& came) {
        keeper_.take(came, loop_.now());
        pump();
      });
  keeper_.begin(services_->names(), loop_.now());
  route_timer_->set(loop_.now() + kRouteInterval);
  // Not at once: who makes this object does not have it yet.
  timer_->set(loop_.now());
}

void FamilyMappings::look_at_routes() {
  route_timer_->set(loop_.now() + kRouteInterval);
  using State = MappingKeeper::State;
  if (keeper_.state() == State::ending || keeper_.state() == State::ended) return;
  std::vector<Gateway> gateways = gateways_now();
  // An interface that had no address for us may have one by now.
  const bool try_again = gateways_.size() > 0 && services_->size() == 0;
  if (gateways == gateways_ && !try_again) return;
  if (gateways != gateways_)
    log_.info("the default routes have changed: looking for gateways again");
  reach_gateways(std::move(gateways));
}

void FamilyMappings::turn() {
  keeper_.tick(loop_.now());
  pump();
}

void FamilyMappings::pump() {
  for (const Ask& ask : keeper_.take_asks()) services_->ask(ask);
  for (const std::string& note : keeper_.take_notes()) log_.warning(note);
  timer_->set(keeper_.next());
  changed_();
}

void FamilyMappings::finish() {
  keeper_.finish(loop_.now());
  pump();
}

std::string FamilyMappings::service_name() const {
  const auto source = keeper_.source();
  return source ? name_of(services_->service(*source)) : "";
}

std::string FamilyMappings::gateway_name() const {
  const auto source = keeper_.source();
  return source ? to_string(services_->gateway(*source)) : "";
}

}  // namespace ptrain::punch
