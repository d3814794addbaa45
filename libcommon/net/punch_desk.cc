#include "libcommon/net/punch_desk.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include <sys/epoll.h>
#include <sys/socket.h>

#include "libcommon/base/error.h"

namespace ptrain::net {
namespace {

using Outcome = PunchLadder::Outcome;

constexpr int kEventsAtOnce = 64;
constexpr int kCallersAtOnce = 16;

std::string words_for(int error) { return std::generic_category().message(error); }

Outcome outcome_for(int error) {
  return error == ECONNREFUSED || error == ECONNRESET ? Outcome::refused : Outcome::unreachable;
}

int socket_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  return error;
}

}  // namespace

std::string_view name_of(NatMapping mapping) {
  switch (mapping) {
    case NatMapping::unknown:
      return "unknown";
    case NatMapping::none:
      return "none";
    case NatMapping::independent:
      return "endpoint-independent";
    case NatMapping::dependent:
      return "address-and-port-dependent";
  }
  return "?";
}

PunchDesk::PunchDesk(PunchingOptions options, RandomSource& random)
    : options_(std::move(options)), random_(random), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_.valid()) throw io_error("make an epoll instance", errno);
  const std::size_t count = std::min(options_.holes, kMostHoles);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint16_t port = i < options_.ports.size() ? options_.ports[i] : std::uint16_t{0};
    holes_.push_back({.socket = PunchHole(port)});
    for (const int fd : holes_.back().socket.listeners()) {
      const Id id = ++last_id_;
      listeners_.emplace(id, Listener{i, fd});
      if (const int error = watch(id, fd, EPOLLIN)) throw io_error("watch a socket", error);
    }
  }
}

PunchDesk::~PunchDesk() = default;

int PunchDesk::watch(Id id, int fd, std::uint32_t events) {
  epoll_event event{.events = events, .data = {.u64 = id}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0) return 0;
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

void PunchDesk::add_poll_items(std::vector<PollItem>& items) {
  items.push_back({.fd = epoll_.get()});
}

TimePoint PunchDesk::next_tick() const {
  TimePoint next = TimePoint::max();
  for (const auto& [name, line] : lines_) {
    if (line.ladder) next = std::min(next, line.ladder->next_tick());
  }
  for (const auto& [id, meeting] : meetings_) next = std::min(next, meeting.ends);
  for (const auto& [id, question] : questions_) next = std::min(next, question.ends);
  return next;
}

void PunchDesk::process(TimePoint now) {
  std::array<epoll_event, kEventsAtOnce> events{};
  const int count = ::epoll_wait(epoll_.get(), events.data(), kEventsAtOnce, 0);
  for (int i = 0; i < count; ++i) on_ready(events[static_cast<std::size_t>(i)].data.u64, now);
  for (auto& [name, line] : lines_) {
    if (line.ladder) connect_due(name, line, now);
  }
  end_overdue(now);
}

void PunchDesk::on_ready(Id id, TimePoint now) {
  if (const auto listener = listeners_.find(id); listener != listeners_.end()) {
    on_callers(listener->second, now);
  } else if (meetings_.contains(id)) {
    on_meeting(id, now);
  } else if (questions_.contains(id)) {
    on_question(id);
  }
}

// ---- Our own addresses.

void PunchDesk::ask(const EchoPlace& echo, TimePoint now) {
  for (std::size_t hole = 0; hole < holes_.size(); ++hole) {
    for (std::size_t port = 0; port < 2; ++port) {
      const auto to = numeric_address(echo.host, port == 0 ? echo.first : echo.second);
      if (!to) return;
      auto begun = holes_[hole].socket.connect(*to);
      if (!begun.socket.valid()) continue;
      const Id id = ++last_id_;
      if (watch(id, begun.socket.get(), EPOLLOUT) != 0) continue;
      questions_.emplace(id, Question{.socket = std::move(begun.socket),
                                      .hole = hole,
                                      .port = port,
                                      .cookie = random_.bytes<sizeof(EchoCookie)>(),
                                      .ends = now + kEchoTime});
    }
  }
}

void PunchDesk::on_question(Id id) {
  Question& question = questions_.at(id);
  if (!question.asked) {
    const auto bytes = echo_question(question.cookie);
    const ssize_t sent = ::send(question.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(bytes.size())) {
      questions_.erase(id);
      return;
    }
    question.asked = true;
    if (watch(id, question.socket.get(), EPOLLIN) != 0) questions_.erase(id);
    return;
  }
  // The relay hangs up first: who does keeps the two ports for a minute, and we will ask again.
  std::array<std::byte, kEchoAnswerBytes + 1> bytes{};
  const std::size_t missing = bytes.size() - question.answer.size();
  const ssize_t got = ::recv(question.socket.get(), bytes.data(), missing, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got > 0) question.answer.insert(question.answer.end(), bytes.begin(), bytes.begin() + got);
  if (got > 0 && question.answer.size() <= kEchoAnswerBytes) return;
  if (const auto seen = read_echo_answer(question.answer, question.cookie)) {
    holes_[question.hole].seen[question.port] = seen;
  }
  questions_.erase(id);
}

void PunchDesk::set_outside(const std::vector<OutsidePort>& ports) {
  for (Hole& hole : holes_) {
    hole.mapped.reset();
    const OutsidePort* found = find_outside(ports, "tcp", hole.socket.port());
    if (found == nullptr) continue;
    hole.mapped.emplace();
    hole.mapped->host = found->host;
    hole.mapped->port = found->outside;
  }
}

// Where a NAT shows each destination another port, that which an echo saw is of no use but for the
// address: whoever lets in by addresses alone has to know it.
std::vector<HoleFacts> PunchDesk::holes() const {
  std::vector<HoleFacts> facts;
  for (const Hole& hole : holes_) {
    HoleFacts& each = facts.emplace_back();
    each.port = hole.socket.port();
    if (hole.mapped) each.outside.push_back(*hole.mapped);
    const auto& seen = hole.seen[0] ? hole.seen[0] : hole.seen[1];
    if (seen && seen != hole.mapped) each.outside.push_back(*seen);
  }
  return facts;
}

NatMapping PunchDesk::mapping() const {
  NatMapping mapping = NatMapping::unknown;
  for (const Hole& hole : holes_) {
    if (!hole.seen[0] || !hole.seen[1]) continue;
    if (*hole.seen[0] != *hole.seen[1]) return NatMapping::dependent;
    mapping = NatMapping::independent;
  }
  return mapping;
}

// ---- Lines.

void PunchDesk::close_line(const PunchLine& line) {
  end_meetings_of(line);
  lines_.erase(line);
}

void PunchDesk::want(const PunchLine& name, bool wanted) {
  const auto line = lines_.find(name);
  if (line != lines_.end()) line->second.wanted = wanted;
}

void PunchDesk::begin(const PunchLine& name, std::vector<PunchTarget> targets, TimePoint at) {
  const auto line = lines_.find(name);
  if (line == lines_.end()) return;
  end_meetings_of(name);
  line->second.came_from.reset();
  line->second.ladder.emplace(std::move(targets), at);
}

std::optional<PunchedConnection> PunchDesk::take(const PunchLine& name) {
  const auto line = lines_.find(name);
  return line == lines_.end() ? std::nullopt : std::exchange(line->second.won, std::nullopt);
}

PunchAttempt PunchDesk::attempt(const PunchLine& name) const {
  const auto line = lines_.find(name);
  if (line == lines_.end() || !line->second.ladder) return {};
  const PunchLadder& ladder = *line->second.ladder;
  return {.rungs = ladder.rungs(),
          .begin = ladder.begin(),
          .came_from = line->second.came_from,
          .over = ladder.next_tick() == TimePoint::max()};
}

void PunchDesk::connect_due(const PunchLine& name, Line& line, TimePoint now) {
  if (name.hole >= holes_.size()) return;
  for (const std::size_t rung : line.ladder->take_due(now)) {
    const Endpoint& at = line.ladder->rungs()[rung].target.at;
    const auto to = numeric_address(at.host, at.port);
    if (!to) continue;
    auto begun = holes_[name.hole].socket.connect(*to);
    if (!begun.socket.valid()) {
      line.ladder->failed(rung, outcome_for(begun.error), words_for(begun.error), now);
      continue;
    }
    const Id id = ++last_id_;
    if (const int error = watch(id, begun.socket.get(), EPOLLOUT)) {
      line.ladder->failed(rung, outcome_for(error), words_for(error), now);
      continue;
    }
    meetings_.emplace(id, Meeting{.socket = std::move(begun.socket),
                                  .hole = name.hole,
                                  .at = at,
                                  .line = name,
                                  .rung = rung,
                                  .ends = line.ladder->begin() + kPunchTime + kGreetingTime});
  }
}

void PunchDesk::on_callers(const Listener& listener, TimePoint now) {
  for (int i = 0; i < kCallersAtOnce; ++i) {
    auto came = PunchHole::accept(listener.fd);
    if (!came) return;
    const auto callers =
        std::ranges::count_if(meetings_, [](const auto& each) { return each.second.they_came; });
    if (static_cast<std::size_t>(callers) >= kMostCallers) {
      meetings_.erase(
          std::ranges::find_if(meetings_, [](const auto& each) { return each.second.they_came; }));
    }
    const Id id = ++last_id_;
    if (watch(id, came->socket.get(), EPOLLIN) != 0) continue;
    Meeting meeting{.socket = std::move(came->socket),
                    .hole = listener.hole,
                    .at = came->from,
                    .they_came = true,
                    .ends = now + kGreetingTime};
    meeting.greeting.emplace(
        options_.identity, random_.bytes<32>(),
        [this, at = listener.hole](std::uint8_t hole, bool we_dial, const auto& is_theirs) {
          return hole == at ? find(hole, we_dial, is_theirs) : std::nullopt;
        });
    meetings_.emplace(id, std::move(meeting));
  }
}

std::optional<PunchLine> PunchDesk::find(
    std::size_t hole, bool we_dial, const std::function<bool(const PunchLine&)>& is_theirs) const {
  for (const auto& [name, line] : lines_) {
    if (name.hole == hole && name.we_dial == we_dial && is_theirs(name)) return name;
  }
  return std::nullopt;
}

void PunchDesk::on_meeting(Id id, TimePoint now) {
  Meeting& meeting = meetings_.at(id);
  if (!meeting.greeting) {
    const int error = socket_error(meeting.socket.get());
    if (error != 0) return fail(id, outcome_for(error), words_for(error), now);
    on_connected(meeting, now);
    if (const int flaw = watch(id, meeting.socket.get(), EPOLLIN)) {
      return fail(id, outcome_for(flaw), words_for(flaw), now);
    }
    if (!flush(meeting)) fail(id, Outcome::unreachable, "it hung up", now);
    return;
  }
  greet(id, meeting, now);
}

void PunchDesk::on_connected(Meeting& meeting, TimePoint now) {
  meeting.greeting.emplace(options_.identity, random_.bytes<32>(), *meeting.line);
  meeting.ends = now + kGreetingTime;
  const auto line = lines_.find(*meeting.line);
  if (line != lines_.end() && line->second.ladder) line->second.ladder->connected(meeting.rung);
}

void PunchDesk::greet(Id id, Meeting& meeting, TimePoint now) {
  std::array<std::byte, kPunchHelloBytes> bytes{};
  while (const std::size_t wanted = meeting.greeting->wanted()) {
    const ssize_t got = ::recv(meeting.socket.get(), bytes.data(), wanted, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (got <= 0) {
      const bool known = meeting.greeting->state() == PunchGreeting::State::verified;
      return fail(id, known ? Outcome::passed : Outcome::stranger, "it hung up", now);
    }
    meeting.greeting->take({bytes.data(), static_cast<std::size_t>(got)});
  }
  if (!flush(meeting)) return fail(id, Outcome::unreachable, "it hung up", now);
  decide(id, meeting, now);
}

// A few bytes, to a socket that has sent none: they fit, or it is of no use.
bool PunchDesk::flush(Meeting& meeting) {
  const auto bytes = meeting.greeting->take_output();
  if (bytes.empty()) return true;
  return ::send(meeting.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(bytes.size());
}

void PunchDesk::decide(Id id, Meeting& meeting, TimePoint now) {
  PunchGreeting& greeting = *meeting.greeting;
  if (greeting.state() == PunchGreeting::State::failed) {
    return fail(id, Outcome::stranger, greeting.why(), now);
  }
  if (greeting.state() == PunchGreeting::State::verified && greeting.line()->we_dial) {
    const auto line = lines_.find(*greeting.line());
    const bool wanted = line != lines_.end() && line->second.wanted && !line->second.won;
    if (!wanted) return fail(id, Outcome::passed, "", now);
    greeting.choose();
    if (!flush(meeting)) return fail(id, Outcome::unreachable, "it hung up", now);
  }
  if (greeting.state() == PunchGreeting::State::chosen) win(id, *greeting.line(), now);
}

void PunchDesk::win(Id id, const PunchLine& name, TimePoint now) {
  auto meeting = meetings_.extract(id);
  const auto line = lines_.find(name);
  if (line == lines_.end()) return;
  Meeting& met = meeting.mapped();
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, met.socket.get(), nullptr);
  if (met.they_came) line->second.came_from = met.at;
  if (line->second.ladder) {
    met.they_came ? line->second.ladder->end(now) : line->second.ladder->chose(met.rung, now);
  }
  line->second.won = PunchedConnection{
      .socket = std::move(met.socket), .from = std::move(met.at), .they_came = met.they_came};
  end_meetings_of(name);
}

void PunchDesk::fail(Id id, Outcome outcome, const std::string& why, TimePoint now) {
  auto meeting = meetings_.extract(id);
  const Meeting& met = meeting.mapped();
  if (met.they_came || !met.line) return;
  const auto line = lines_.find(*met.line);
  if (line == lines_.end() || !line->second.ladder || line->second.ladder->over(now)) return;
  line->second.ladder->failed(met.rung, outcome, why, now);
}

void PunchDesk::end_meetings_of(const PunchLine& name) {
  std::erase_if(meetings_, [&](const auto& each) {
    const Meeting& meeting = each.second;
    const auto& line = meeting.greeting ? meeting.greeting->line() : meeting.line;
    return line == name;
  });
}

void PunchDesk::end_overdue(TimePoint now) {
  std::erase_if(questions_, [now](const auto& each) { return now >= each.second.ends; });
  std::vector<Id> overdue;
  for (const auto& [id, meeting] : meetings_) {
    if (now >= meeting.ends) overdue.push_back(id);
  }
  for (const Id id : overdue) fail(id, Outcome::silent, "", now);
}

}  // namespace ptrain::net
