# A server of ssh on this machine that is several hosts: each address of loopback has a home of its
# own. Its keys are temporary, nobody else gets in, and it ends with the test file.
# shellcheck shell=bash disable=SC2034

SSH_HOSTS=(127.0.0.11 127.0.0.12 127.0.0.13)

# start_ssh_server FOLDER: sets SSH, the command that gets in, and ssh_server, its process
start_ssh_server() {
  local folder=$1 host privileged=no
  mkdir -p "$folder"
  ssh-keygen -q -t ed25519 -N '' -f "$folder/host"
  ssh-keygen -q -t ed25519 -N '' -f "$folder/person"
  ssh_port=$(free_port)
  if ((EUID == 0)) && [[ ! -d /run/sshd ]]; then mkdir -m 755 /run/sshd; fi  # where sshd, as root, keeps nothing
  {
    printf 'Port %s\nHostKey %s/host\nAuthorizedKeysFile %s/person.pub\n' "$ssh_port" "$folder" "$folder"
    printf 'PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n'
    printf 'MaxStartups 100\n'
    printf 'ListenAddress %s\n' "${SSH_HOSTS[@]}"
    for host in "${SSH_HOSTS[@]}"; do
      mkdir -p "$folder/$host"
      printf 'Match LocalAddress %s\n  SetEnv HOME=%s/%s\n' "$host" "$folder" "$host"
    done
  } >"$folder/sshd_config"
  for host in "${SSH_HOSTS[@]}"; do
    printf '[%s]:%s %s\n' "$host" "$ssh_port" "$(cut -d ' ' -f 1,2 "$folder/host.pub")"
  done >"$folder/known_hosts"
  "$(PATH=$PATH:/usr/sbin:/sbin command -v sshd)" -D -e -f "$folder/sshd_config" >"$folder/sshd.said" 2>&1 3>&- &
  ssh_server=$!
  SSH="ssh -F none -p $ssh_port -i $folder/person -o UserKnownHostsFile=$folder/known_hosts -o IdentitiesOnly=yes"
  eventually 30 accepts "${SSH_HOSTS[0]}" "$ssh_port" || { cat "$folder/sshd.said"; return 1; }
}

stop_ssh_server() {
  kill -TERM "$ssh_server" 2>/dev/null || true
  wait "$ssh_server" 2>/dev/null || true
}

accepts() { (exec 9<>"/dev/tcp/$1/$2") 2>/dev/null; }
