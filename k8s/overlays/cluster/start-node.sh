#!/bin/sh
# Starts a node of the Cluster. A pod comes back with another address, and when all of them do so at once nobody finds
# anybody: a node that knew others tells them where it is now. One that comes back without its volume becomes a replica
# of the master that has the fewest. The first start of all is left to form-cluster.sh.
#
# NODES are the names of all, SELF is the address of this one; REDISCLI_AUTH is the password of the user "default". The
# arguments are those of redis-server.
set -eu

# A line of what a node says of the Cluster.
fact() { redis-cli -h "$1" cluster info 2>/dev/null | tr -d '\r' | sed -n "s/^$2://p"; }

# A node knows the others by address.
address_of() {
  address=$(getent hosts "$1" | awk '{ print $1; exit }')
  echo "${address:-$1}"
}

meet_all() {
  for node in $NODES; do
    address=$(address_of "$node")
    [ "$address" = "$SELF" ] || redis-cli -h "$SELF" cluster meet "$address" 6379
  done
}

# One of the others that knows a master for every slot.
formed() {
  for node in $NODES; do
    address=$(address_of "$node")
    if [ "$address" != "$SELF" ] && [ "$(fact "$address" cluster_slots_assigned)" = 16384 ]; then
      echo "$address"
      return
    fi
  done
}

# The master with the fewest replicas that live, by the word of this node.
neediest() {
  redis-cli -h "$SELF" cluster nodes | awk '
    $3 ~ /fail|handshake|noaddr/ { next }
    $3 ~ /master/ && NF > 8 { masters[$1] = 1 }
    $3 ~ /slave/ { replicas[$4]++ }
    END {
      for (id in masters) if (best == "" || replicas[id] < replicas[best]) best = id
      print best
    }'
}

is_empty_master() { redis-cli -h "$SELF" cluster nodes | grep -q 'myself,master [^ ]* [^ ]* [^ ]* [^ ]* [^ ]*$'; }

# Whether the server that this shell became is there.
serves() { kill -0 $$; }

join() {
  exec >/dev/null 2>&1
  # One that can't be asked for a while is asked again.
  set +e
  until [ "$(redis-cli -h "$SELF" ping)" = PONG ]; do serves && sleep 1 || return; done
  # For ten minutes: the others may start much later, and then they find this one.
  for _ in $(seq 120); do
    serves || return
    if [ "$(fact "$SELF" cluster_known_nodes)" != 1 ]; then
      if redis-cli -h "$SELF" cluster nodes | grep -Eq 'fail|handshake|disconnected'; then meet_all; fi
      # Not in the middle of what form-cluster.sh does.
      if [ -n "$began_empty" ] && is_empty_master && sleep 5 && is_empty_master; then
        redis-cli -h "$SELF" cluster replicate "$(neediest)"
      fi
    elif [ -n "$(formed)" ]; then
      meet_all
    fi
    sleep 5
  done
}

began_empty=
[ -s "${DATA:-/data}/nodes.conf" ] || began_empty=yes
join &
exec sh "${START:-/etc/redis/start-redis.sh}" "$@"
