#!/bin/sh
# Joins the nodes into a Cluster, each master with one replica; nothing to do where that was done before.
#
# NODES are their names; REDISCLI_AUTH is the password of the user "default".
set -eu
first=${NODES%% *}

addresses=
for node in $NODES; do
  until [ "$(redis-cli -h "$node" ping 2>/dev/null)" = PONG ]; do
    echo "waiting for $node"
    sleep 1
  done
  # The nodes know each other by address; a new one is told to the others by the node itself.
  address=$(getent hosts "$node" | awk '{ print $1; exit }')
  addresses="$addresses ${address:-$node}:6379"
done
if redis-cli -h "$first" cluster info | grep -q 'cluster_state:ok'; then
  echo 'the Cluster stands'
  exit 0
fi
# shellcheck disable=SC2086
exec redis-cli --cluster create $addresses --cluster-replicas 1 --cluster-yes
