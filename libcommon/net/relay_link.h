// The connection of one member to one relay: a ControlLink below, a RelayMembership above.
// Network thread only.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "libcommon/net/control_link.h"
#include "libcommon/net/relay_membership.h"

namespace ptrain::net {

class RelayLink {
 public:
  RelayLink(std::unique_ptr<ControlLink> link, MembershipOptions membership);

  void add_poll_items(std::vector<PollItem>& items) { link_->add_poll_items(items); }
  // Reads, asks what is due, and says what has become known.
  std::vector<membership::Event> process(TimePoint now);
  TimePoint next_tick() const;

  void reintroduce(const Place& to, TimePoint now) { membership_.reintroduce(to, now); }
  void replace_record(SignedRecord record, TimePoint now) {
    membership_.replace_record(std::move(record), now);
  }
  void claim(const std::string& name, std::uint64_t number, Duration hold, TimePoint now) {
    membership_.claim(name, number, hold, now);
  }
  void give_back(const std::string& name, TimePoint now) { membership_.give_back(name, now); }
  void set_note(std::string note) { membership_.set_note(std::move(note)); }
  // We end, and need not be looked for until the lease is over.
  void leave();
  // Why there is no connection; empty where nothing is known.
  const std::string& trouble() const { return link_->trouble(); }
  bool refuses_our_key() const { return link_->refuses_our_key(); }

 private:
  std::unique_ptr<ControlLink> link_;
  RelayMembership membership_;
};

}  // namespace ptrain::net
