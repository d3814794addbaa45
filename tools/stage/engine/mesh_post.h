// The post of a worker whose correspondents are other processes, over the sessions of a Mesh, whose
// numbers are the workers'; or of the only worker of a job, which has none. Borrows the mesh.

#pragma once

#include "tools/stage/engine/post.h"

namespace ptrain::stage {

class MeshPost : public Post {
 public:
  // `mesh` is null in a job of one worker. Its low water is `send_ahead`.
  MeshPost(net::Mesh* mesh, const Place& place, ByteCount send_ahead)
      : Post(place, send_ahead), mesh_(mesh) {}

  using Post::send;
  void send(WorkerIndex to, wire::Message message) override;
  std::optional<PostEvent> next(Duration timeout) override;
  ByteCount queued(WorkerIndex to) const override;
  std::vector<std::pair<WorkerIndex, net::Traffic>> traffic() const override;
  std::vector<net::LostLink> lost_links() const override;
  void fail(std::string_view why) override;

 private:
  net::Mesh* mesh_;
};

}  // namespace ptrain::stage
