# A cluster of Slurm on this machine: munged, slurmctld and two nodes, each a slurmd, with all their
# files in one folder. Nobody's own Slurm is touched, and all of it ends with the test file.
# shellcheck shell=bash disable=SC2034

slurm_daemon() { PATH=$PATH:/usr/sbin:/sbin command -v "$1"; }

# start_slurm FOLDER PORT: exports SLURM_CONF, sets slurm_daemons, their processes
start_slurm() {
  local folder=$1 port=$2 node
  mkdir -p "$folder"/{state,spool}
  chmod 755 "$folder"
  dd if=/dev/urandom of="$folder/munge.key" bs=64 count=1 status=none
  chmod 600 "$folder/munge.key"
  cat >"$folder/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=30
MpiDefault=none
SchedulerParameters=sched_min_interval=0
NodeName=one NodeHostname=localhost NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=4
NodeName=two NodeHostname=localhost NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=4
PartitionName=all Nodes=one,two Default=YES MaxTime=10
CONF
  export SLURM_CONF=$folder/slurm.conf
  "$(slurm_daemon munged)" --foreground --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
    --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" --seed-file="$folder/munged.seed" \
    >"$folder/munged.said" 2>&1 3>&- &
  slurm_daemons=$!
  eventually 30 test -S "$folder/munge.socket" || { cat "$folder/munged.said"; return 1; }
  "$(slurm_daemon slurmctld)" -D -i >"$folder/slurmctld.said" 2>&1 3>&- &
  slurm_daemons+=" $!"
  for node in one two; do
    "$(slurm_daemon slurmd)" -D -N "$node" >"$folder/slurmd-$node.said" 2>&1 3>&- &
    slurm_daemons+=" $!"
  done
  eventually 60 nodes_wait || { tail -n 5 "$folder"/*.said; sinfo; return 1; }
}

nodes_wait() { [[ $(sinfo --noheader --format '%D %t' 2>/dev/null) == '2 idle' ]]; }

# What jobs of a test that failed have left: nobody else's have this file in their environment.
strays() {
  local pid
  for pid in $(pgrep -f 'ptrain-stage run|srun|slurmstepd|slurm_script|allocation[.]sh'); do
    if tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | grep -qxF "SLURM_CONF=$SLURM_CONF"; then echo "$pid"; fi
  done
}

stop_slurm() {
  local pid
  for pid in $(strays); do kill -KILL "$pid" 2>/dev/null || true; done
  for pid in $slurm_daemons; do kill -TERM "$pid" 2>/dev/null || true; done
  # shellcheck disable=SC2086  # words
  eventually 20 gone $slurm_daemons || for pid in $slurm_daemons; do kill -KILL "$pid" 2>/dev/null || true; done
}
