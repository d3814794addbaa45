#include "tools/stage/engine/mesh_post.h"

#include <thread>

namespace ptrain::stage {
namespace {

// A mesh counts its members as a pipeline counts its stages.
StageIndex member(WorkerIndex worker) { return StageIndex(worker.value()); }
WorkerIndex worker_of(StageIndex member) { return WorkerIndex(member.value()); }

struct ToPostEvent {
  PostEvent operator()(net::MeshDelivery& delivery) const {
    return Letter{std::move(delivery.message), std::move(delivery.credit)};
  }
  PostEvent operator()(net::MeshLoss& loss) const {
    return Gone{worker_of(loss.stage), loss.error};
  }
  PostEvent operator()(net::MeshRoom& room) const { return Room{worker_of(room.stage)}; }
};

}  // namespace

void MeshPost::send(WorkerIndex to, wire::Message message) {
  mesh_->send(member(to), std::move(message));
}

std::optional<PostEvent> MeshPost::next(Duration timeout) {
  if (mesh_ == nullptr) {  // nobody writes, but time passes
    std::this_thread::sleep_for(timeout);
    return std::nullopt;
  }
  auto event = mesh_->next(timeout);
  if (!event) return std::nullopt;
  return std::visit(ToPostEvent{}, *event);
}

ByteCount MeshPost::queued(WorkerIndex to) const { return mesh_->queued(member(to)); }

std::vector<std::pair<WorkerIndex, net::Traffic>> MeshPost::traffic() const {
  std::vector<std::pair<WorkerIndex, net::Traffic>> all;
  if (mesh_ == nullptr) return all;
  for (const WorkerIndex peer : correspondents(place())) {
    all.emplace_back(peer, mesh_->traffic(member(peer)));
  }
  return all;
}

std::vector<net::LostLink> MeshPost::lost_links() const {
  if (mesh_ == nullptr) return {};
  return mesh_->lost_links();
}

void MeshPost::fail(std::string_view why) {
  if (mesh_ != nullptr) mesh_->fail(why);
}

}  // namespace ptrain::stage
