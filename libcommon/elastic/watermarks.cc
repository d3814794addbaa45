#include "libcommon/elastic/watermarks.h"

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::elastic {

std::string to_string(const Channel& channel) {
  return fmt::format("{} from {} to {}", wire::name_of(channel.kind),
                     job::to_string(channel.source), job::to_string(channel.destination));
}

std::string to_string(const Position& position) {
  return fmt::format("step {}, microbatch {}, part {}", position.step.value(),
                     position.microbatch.value(), position.part);
}

void Watermarks::begin_at(const job::CellIndex& destination, Step steps) {
  begun_[destination] = steps;
  last_.erase(destination);
}

void Watermarks::give_up(const job::CellIndex& destination) {
  begun_.erase(destination);
  last_.erase(destination);
}

std::optional<Position> Watermarks::last(const Channel& channel) const {
  const auto channels = last_.find(channel.destination);
  if (channels == last_.end()) return std::nullopt;
  const auto position = channels->second.find(channel);
  return position == channels->second.end() ? std::nullopt : std::optional(position->second);
}

bool Watermarks::wants(const Channel& channel, const Position& position) const {
  const auto begun = begun_.find(channel.destination);
  if (begun == begun_.end() || position.step < begun->second) return false;
  const auto before = last(channel);
  return !before || position > *before;
}

void Watermarks::consumed(const Channel& channel, const Position& position) {
  if (!wants(channel, position)) {
    const auto before = last(channel);
    throw Error(ErrorKind::internal,
                fmt::format("{}, {}, is consumed a second time{}", to_string(channel),
                            to_string(position), before ? ", after " + to_string(*before) : ""));
  }
  last_[channel.destination][channel] = position;
}

}  // namespace ptrain::elastic
