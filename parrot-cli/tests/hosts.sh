#!/usr/bin/env bash
# `parrot eval` in four processes on two hosts finds what it finds in one process; so does a run of three that is killed and goes
# on with four. The hosts are network namespaces with names, addresses and disks of their own, joined by a cable: all that MPI
# sees of a host. Needs root, mpirun and iproute2.
#
#     cargo build --release --features parrot-cli/mpi
#     parrot-cli/tests/hosts.sh target/release/parrot assets/parrot-mini FILE.tsv…
set -euo pipefail
parrot=$(realpath "$1") model=$(realpath "$2")
shift 2
data=$(realpath "$@" | tr '\n' ' ')
work=$(mktemp -d)
cd "$work"
# Where nobody else's are, and resolved within the namespaces only.
a=parrot-a-$$ b=parrot-b-$$
clean() {
  ip netns del "$a" || true
  ip netns del "$b" || true
  rm -rf "/etc/netns/$a" "/etc/netns/$b" "$work"
}
trap clean EXIT

ip netns add "$a"
ip netns add "$b"
ip -n "$a" link add cable type veth peer name cable netns "$b"
number=1
for host in "$a" "$b"; do
  mkdir -p "/etc/netns/$host"
  printf '127.0.0.1 localhost\n10.77.0.1 %s\n10.77.0.2 %s\n' "$a" "$b" >"/etc/netns/$host/hosts"
  ip -n "$host" addr add "10.77.0.$number/24" dev cable
  ip -n "$host" link set cable up
  ip -n "$host" link set lo up
  number=2
done

# What mpirun takes for ssh: HOST COMMAND…
mkdir own
cat >agent <<END
#!/usr/bin/env bash
host=\$1
shift
exec ip netns exec "\$host" unshare --uts --mount bash -c "hostname \$host; mount -t tmpfs own $work/own; \$*"
END
chmod +x agent

# FOLDER, how many processes on either host
on_hosts() {
  ip netns exec "$a" unshare --uts bash -c "hostname $a; exec mpirun --allow-run-as-root --mca plm_rsh_agent $work/agent \
    --mca oob_tcp_if_include cable --mca btl_tcp_if_include cable --mca btl self,tcp --host $a:$2,$b:$3 -n $(($2 + $3)) \
    $parrot eval --data $data --model $model --pictures 4 --out $work/$1" >"log" 2>&1
}
same() {
  diff -r -x results.json -x answers.jsonl one "$1"
  diff <(sort -u one/answers.jsonl) <(sort -u "$1/answers.jsonl")
  echo "$2: the same"
}

"$parrot" eval --data $data --model "$model" --pictures 4 --out one >/dev/null
mkdir four && on_hosts four 2 2 || { cat log; exit 1; }
same four "four processes on two hosts that share a disk"
on_hosts own/two 1 1 || { cat log; exit 1; }
same own/two "two hosts, each with a disk of its own"

mkdir killed
on_hosts killed 1 2 &
run=$!
until [ "$(cat killed/answers*.jsonl 2>/dev/null | wc -l)" -gt 20 ]; do sleep 0.1; done
kill -9 "$run" $(pgrep -P "$run") 2>/dev/null || true
wait "$run" 2>/dev/null || true
# The others notice, and let go of their files.
sleep 3
on_hosts killed 2 2 || { cat log; exit 1; }
grep -m1 asked log
same killed "three processes that were killed, and four that went on"
