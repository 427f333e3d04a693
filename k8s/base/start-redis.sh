#!/bin/sh
# Starts Redis for two users: "default" for those who look after it (operators, replicas, Sentinels), and "holdfast", who
# may do what Holdfast needs and nothing else (holdfast.acl). The arguments are those of redis-server.
#
# REDISCLI_AUTH is the password of "default", USER_PASSWORD that of "holdfast".
set -eu
users=${DATA:-/data}/users.acl
rules=${RULES:-/etc/redis/holdfast.acl}
: "${REDISCLI_AUTH:?is the password of the user default}" "${USER_PASSWORD:?is the password of the user holdfast}"

# The file holds what checks a password, not the password.
digest() { printf %s "$1" | sha256sum | cut -d ' ' -f 1; }

umask 077
{
  echo "user default on #$(digest "$REDISCLI_AUTH") ~* &* +@all"
  echo "$(cat "$rules") #$(digest "$USER_PASSWORD")"
} >"$users.new"
mv "$users.new" "$users"
exec redis-server "$@" --aclfile "$users"
