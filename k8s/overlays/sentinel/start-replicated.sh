#!/bin/sh
# Starts Redis as what the Sentinels say, else as what it was before, else (the first start of all) with the first pod as
# the master. Its settings are on the volume, since Sentinel writes changes of the master into them.
#
# SELF, FIRST and SENTINEL are addresses; REDISCLI_AUTH is the password with which a replica follows its master.
set -eu
settings=${SETTINGS:-/etc/redis/redis.conf}
data=${DATA:-/data}
written=$data/redis.conf

master=$(env -u REDISCLI_AUTH timeout 5 redis-cli -h "$SENTINEL" -p 26379 sentinel get-master-addr-by-name holdfast |
  head -n 1) || master=
if [ -z "$master" ] && [ -f "$written" ]; then
  before=$(sed -n 's/^replicaof "\{0,1\}\([^ "]*\).*/\1/p' "$written")
  master=${before:-$SELF}
fi
{
  sed "s|^dir .*|dir $data|" "$settings"
  printf '%s\n' "masterauth \"$REDISCLI_AUTH\"" \
    "replica-announce-ip $SELF" 'min-replicas-to-write 1' 'min-replicas-max-lag 10'
  if [ "${master:-$FIRST}" != "$SELF" ]; then echo "replicaof ${master:-$FIRST} 6379"; fi
} >"$written.new"
mv "$written.new" "$written"
exec sh "${START:-/etc/redis/start-redis.sh}" "$written" "$@"
