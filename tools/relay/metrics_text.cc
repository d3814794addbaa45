#include "tools/relay/metrics_text.h"

#include <string_view>

#include <fmt/format.h>

namespace ptrain::relay {
namespace {

class Text {
 public:
  void gauge(std::string_view name, std::string_view help, std::uint64_t value) {
    add("gauge", name, help, value);
  }
  void counter(std::string_view name, std::string_view help, std::uint64_t value) {
    add("counter", name, help, value);
  }
  std::string take() { return std::move(text_); }

 private:
  void add(std::string_view type, std::string_view name, std::string_view help,
           std::uint64_t value) {
    text_ +=
        fmt::format("# HELP ptrain_relay_{0} {1}\n# TYPE ptrain_relay_{0} {2}\n", name, help, type);
    text_ += fmt::format("ptrain_relay_{} {}\n", name, value);
  }
  std::string text_;
};

}  // namespace

std::string metrics_text(const ControlFigures& control, const CarrierTotals& carrier,
                         const std::optional<EchoTotals>& echo) {
  Text text;
  text.gauge("members", "Registrations whose lease holds.", control.members);
  text.gauge("runs", "Runs that have a member.", control.runs);
  text.gauge("members_elsewhere", "Registrations that neighbours hold.", control.members_elsewhere);
  text.gauge("neighbours", "Relays that this one gossips with.", control.neighbours);
  text.gauge("neighbours_connected", "Those that tell of their members now.",
             control.neighbours_connected);
  text.counter("forwards_total", "Messages that neighbours passed on to their members.",
               control.totals.forwards);
  text.gauge("control_connections", "Connections to the control port.", control.connections);
  text.gauge("control_connections_waiting", "Of those, the ones that wait for their handshake.",
             control.waiting_connections);
  text.counter("control_connections_cut_total", "Control connections that broke a limit.",
               control.cut_connections);
  text.counter("dropped_answers_total", "Answers that nobody took.", control.dropped_answers);
  text.counter("requests_total", "Requests, refused ones included.", control.totals.requests);
  text.counter("refusals_total", "Requests that were refused.", control.totals.refusals);
  text.counter("ignored_total", "Requests beyond all limits.", control.totals.ignored);
  text.counter("registrations_total", "Registrations, repeated ones included.",
               control.totals.registrations);
  text.counter("introductions_total", "Introductions.", control.totals.introductions);
  text.counter("tokens_total", "Tokens issued.", control.totals.tokens);
  text.gauge("streams", "Pairs of connections that are joined.", carrier.streams);
  text.gauge("waiting", "Connections without their partner.", carrier.waiting);
  text.counter("joined_total", "Pairs that were joined.", carrier.joined);
  text.counter("carried_bytes_total", "Bytes carried, both ways.", carrier.bytes);
  text.counter("data_refusals_total", "Connections to the data port that were refused.",
               carrier.refused + carrier.over_limits);
  if (echo) {
    text.counter("echo_answers_total", "Echo requests that were answered.", echo->answered);
    text.counter("echo_drops_total", "Echo requests that were not answered.",
                 echo->malformed + echo->over_limits);
  }
  return text.take();
}

}  // namespace ptrain::relay
