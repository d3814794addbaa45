// ptrain-stage run: one stage of a training job, from its job file to its last checkpoint.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/stage/compute_device.h"

namespace ptrain::stage {

struct RunOptions {
  std::string job_file;
  std::vector<std::string> overrides;  // KEY=VALUE
  std::string plan_file;               // empty: none
  std::string host;                    // with it: what it calls this host
  std::uint32_t stage = 0;
  std::vector<std::string> cells;      // instead: STAGE,LANE
  std::string listen;                  // empty: the stage's own endpoint of endpoints_file
  std::string endpoints_file;          // of all processes, by stage or with their cells
  std::vector<std::string> peers;      // or I=ENDPOINT for each other stage
  std::string ticket_file;             // or nothing: the stages meet through the ticket's relays
  std::uint32_t stages = 0;            // with a ticket: how many there are, a process each
  std::string cells_file;              // or, with a ticket: which process holds which cells
  std::vector<std::string> announced;  // endpoints where others can dial us
  bool direct_only = false;
  bool relay_only = false;
  std::uint32_t connections = 1;  // for bulk, to the stages that we dial
  std::string key_file;           // empty: net::default_key_path()
  std::string resume = "auto";
  std::vector<std::string> from;  // endpoints of holders of checkpoints
  std::string metrics_file;       // empty: none; "-": stdout
  std::string progress = "auto";
  double peer_timeout_s = 60;
  std::uint64_t up_rate_bytes_per_s = 0;  // 0: no limit
  double reconnect_timeout_s = 0;         // 0: by kind of job, see stage_mesh.cc
  double outage_timeout_s = 300;
  bool json = false;
  ComputeOptions compute;
};

// Returns the exit code: 0 when the job is done, 128 + N after signal N, 75 when another
// stage was told to stop.
int run(const RunOptions& options);

}  // namespace ptrain::stage
