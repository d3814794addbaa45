#include "tools/stage/engine/place.h"

namespace ptrain::stage {

std::set<WorkerIndex> correspondents(const Place& place) {
  std::set<WorkerIndex> others;
  for (const job::CellIndex& cell : place.cells()) {
    if (!place.is_first()) others.insert(place.holder(place.previous(), cell.lane));
    if (!place.is_last()) others.insert(place.holder(place.next(), cell.lane));
    if (place.is_first()) others.insert(place.holder(place.last(), cell.lane));
    if (place.is_last()) others.insert(place.holder(place.first(), cell.lane));
  }
  for (const WorkerIndex sibling : place.holders()) others.insert(sibling);
  others.insert(place.driver());
  if (place.is_driver()) {
    for (std::uint32_t i = 0; i < place.workers(); ++i) others.insert(WorkerIndex(i));
  }
  others.erase(place.self());
  return others;
}

}  // namespace ptrain::stage
