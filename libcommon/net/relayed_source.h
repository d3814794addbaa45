// Relayed paths to one peer through one relay, one at a time: a tunnel to the relay's data port,
// and behind it an ordinary source of direct paths.
//
// A token opens one connection and is spent by it; the relay sends the next one at once, so
// there is one at hand when a connection breaks. Of two peers the one with the lower stage is
// the CURVE server, as on a direct path. Network thread only.

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/random_source.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/path.h"
#include "libcommon/net/redial_pace.h"
#include "libcommon/net/socks_tunnel.h"
#include "libcommon/net/transport.h"

namespace ptrain::net {

struct RelayedSourceOptions {
  // None where we listen and whoever the admission knows may come.
  std::optional<PeerHandle> peer;
  wire::LinkIntroduction link;  // where we dial: of the first connection
  std::string relay_host;
  std::uint16_t relay_port = 0;
  std::uint16_t relay_number = 0;  // among the relays of the ticket
  bool hearsay = false;            // a peer has named the relay
  KeyPair key;                     // ours
  PublicKey peer_key{};
  enum class Side { dials, listens } side = Side::dials;
};

class RelayedSource final : public PathSource, private PathSink {
 public:
  // `transport` and `random` outlive the object.
  RelayedSource(Transport& transport, RelayedSourceOptions options, RandomSource& random);
  ~RelayedSource() override;

  // For the next connection. A newer token takes the place of an older one, and is tried at once
  // though attempts have failed: a relay that is back for a second refuses the old one first, and
  // would be gone before the pause after that was over.
  void offer(std::string token) {
    token_ = std::move(token);
    pace_.renewed();
  }
  // Whether it has neither a connection nor a token to make one with: once, then again
  // after the next failure.
  bool take_need();
  bool has_token() const { return token_.has_value(); }

  void add_poll_items(std::vector<PollItem>& items) override;
  void process(PathSink& sink, TimePoint now) override;
  TimePoint next_tick() const override;
  void close(LinkId id, TimePoint now) override;

 private:
  void report_failure(PathSink& sink, const std::string& why, ErrorKind kind) const;
  void try_tunnel(TimePoint now);
  void open_tunnel(TimePoint now);
  void keep_what_is_of_use();
  void make_inner();
  void follow_tunnel(PathSink& sink, TimePoint now);
  void hang_up(PathSink* sink, TimePoint now);

  // What the inner source reports passes through here, so that it is known which path is open.
  LinkId next_path_id() override { return outer_->next_path_id(); }
  void path_opened(Path& path, PeerHandle peer) override;
  void path_lost(LinkId id) override;
  void arrived(LinkId id, Arrival arrival) override;
  void attempt_failed(PeerHandle peer, const Error& why, bool permanent) override;
  void refused(const std::string& why) override { outer_->refused(why); }

  Transport& transport_;
  RelayedSourceOptions options_;
  RandomSource& random_;
  std::optional<std::string> token_;
  std::string token_in_use_;
  std::string relay_address_;  // that answered last; empty: it has to be asked for by name
  std::string local_name_;
  std::shared_ptr<CarriedBytes> carried_;
  std::unique_ptr<SocksTunnel> tunnel_;
  std::unique_ptr<PathSource> inner_;
  std::optional<LinkId> open_;
  PathSink* outer_ = nullptr;  // during process()
  RedialPace pace_;
  bool finished_ = false;  // the inner source said so; it goes once it has returned
  bool needs_token_ = false;
};

}  // namespace ptrain::net
