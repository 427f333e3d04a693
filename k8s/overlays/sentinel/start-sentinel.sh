#!/bin/sh
# Starts a Sentinel. What it learns is on its volume, so that after a start of everything at once the last master is
# the master again. The password is the one of now, which may have changed since.
#
# SELF and FIRST are addresses; REDISCLI_AUTH is the password of Redis' user "default".
set -eu
written=${DATA:-/data}/sentinel.conf

if [ ! -f "$written" ]; then
  cat >"$written.new" <<END
port 26379
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $SELF
sentinel monitor holdfast $FIRST 6379 2
sentinel auth-pass holdfast $REDISCLI_AUTH
sentinel down-after-milliseconds holdfast ${DOWN_AFTER:-5000}
sentinel failover-timeout holdfast 30000
sentinel parallel-syncs holdfast 1
END
else
  awk '/^sentinel auth-pass holdfast / { print "sentinel auth-pass holdfast " ENVIRON["REDISCLI_AUTH"]; next } { print }' \
    "$written" >"$written.new"
fi
mv "$written.new" "$written"
exec redis-server "$written" --sentinel "$@"
