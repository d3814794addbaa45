#include "tools/stage/engine/mesh_post.h"

#include <thread>

namespace ptrain::stage {
namespace {

struct ToPostEvent {
  PostEvent operator()(net::MeshDelivery& delivery) const {
    return Letter{std::move(delivery.message), std::move(delivery.credit)};
  }
  PostEvent operator()(net::MeshLoss& loss) const { return Gone{loss.stage, loss.error}; }
  PostEvent operator()(net::MeshRoom& room) const { return Room{room.stage}; }
};

}  // namespace

void MeshPost::send(StageIndex to, wire::Message message) { mesh_->send(to, std::move(message)); }

std::optional<PostEvent> MeshPost::next(Duration timeout) {
  if (mesh_ == nullptr) {  // nobody writes, but time passes
    std::this_thread::sleep_for(timeout);
    return std::nullopt;
  }
  auto event = mesh_->next(timeout);
  if (!event) return std::nullopt;
  return std::visit(ToPostEvent{}, *event);
}

ByteCount MeshPost::queued(StageIndex to) const { return mesh_->queued(to); }

std::vector<std::pair<StageIndex, net::Traffic>> MeshPost::traffic() const {
  std::vector<std::pair<StageIndex, net::Traffic>> all;
  if (mesh_ == nullptr) return all;
  for (const StageIndex peer : correspondents(place())) {
    all.emplace_back(peer, mesh_->traffic(peer));
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
