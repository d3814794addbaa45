// Punched paths to one peer, one at a time: a connection that both sides made together, through the
// NATs between them (punching.h), and behind it an ordinary source of direct paths.
//
// When to try is the rendezvous' business, for both sides must try at once. Of two peers the one
// that listens in the sense of the session is the CURVE server, as on a direct path. Network thread
// only.

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libcommon/base/random_source.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/path.h"
#include "libcommon/net/punch_tunnel.h"
#include "libcommon/net/punching.h"
#include "libcommon/net/transport.h"

namespace ptrain::net {

struct PunchedSourceOptions {
  // None where we listen and whoever the admission knows may come.
  std::optional<PeerHandle> peer;
  wire::LinkIntroduction link;  // where we dial: of the first connection
  PunchLine line;
  KeyPair key;  // ours
};

class PunchedSource final : public PathSource, private PathSink {
 public:
  // All but `options` outlive the object.
  PunchedSource(Transport& transport, Punching& punching, PunchedSourceOptions options,
                RandomSource& random);
  ~PunchedSource() override;

  const PunchLine& line() const { return options_.line; }
  // Both sides try, then; unless there is a connection that brings something.
  void begin(const std::vector<PunchTarget>& targets, TimePoint at, TimePoint now);
  bool connected() const { return open_.has_value(); }
  // It has brought something just now.
  bool fresh(TimePoint now) const;
  const std::string& name() const { return name_; }  // of the last connection
  bool they_came() const { return they_came_; }
  // Whether a connection that it had is gone: once.
  bool take_loss() { return std::exchange(lost_, false); }

  void add_poll_items(std::vector<PollItem>& items) override;
  void process(PathSink& sink, TimePoint now) override;
  TimePoint next_tick() const override;
  void close(LinkId id, TimePoint now) override;

 private:
  void open(PunchedConnection connection);
  void make_inner();
  void follow_tunnel(TimePoint now);
  void hang_up(bool tell);
  void report_failure(const std::string& why, ErrorKind kind) const;

  // What the inner source reports passes through here, so that it is known which path is open.
  LinkId next_path_id() override { return outer_->next_path_id(); }
  void path_opened(Path& path, PeerHandle peer) override;
  void path_lost(LinkId id) override;
  void arrived(LinkId id, Arrival arrival) override;
  void attempt_failed(PeerHandle peer, const Error& why, bool permanent) override;
  void refused(const std::string& why) override { outer_->refused(why); }

  Transport& transport_;
  Punching& punching_;
  PunchedSourceOptions options_;
  RandomSource& random_;
  std::string name_;
  bool they_came_ = false;
  std::string local_name_;
  std::shared_ptr<CarriedBytes> carried_;
  std::unique_ptr<PunchTunnel> tunnel_;
  std::unique_ptr<PathSource> inner_;
  std::optional<LinkId> open_;
  TimePoint last_arrival_{};
  PathSink* outer_ = nullptr;  // during process()
  TimePoint now_{};            // of that
  bool finished_ = false;      // the inner source said so; it goes once it has returned
  bool lost_ = false;
};

}  // namespace ptrain::net
