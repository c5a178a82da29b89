# Run by guest.service in each of two boots: brings a stack up and installs the engine, and looks in the second boot
# whether systemd has brought it back. No command of ours is run there before that is known: it would start the engine.
set -u
stackctl=/opt/venv/bin/stackctl
folder=/var/lib/guest-test

end() { echo "guest ended with $1"; sync; systemctl poweroff --force; exit 0; }
fail() { echo "FAILED: $1"; systemctl status stackctl.service --no-pager --full | cat; $stackctl ps -a; end 1; }

first_boot() {
    mkdir -p "$folder" && cd "$folder" || end 1
    cat >compose.yaml <<'END'
name: back
services:
  web:
    image: host
    command: sh -c 'echo back again >/tmp/index.html; exec busybox httpd -f -p 80 -h /tmp'
    restart: always
    stop_grace_period: 1s
    mem_limit: 64m
    ports: ["8080:80"]
    depends_on: [db]
  db: {image: host, command: sleep infinity, restart: unless-stopped, stop_grace_period: 1s}
  once: {image: host, command: sleep infinity, stop_grace_period: 1s}
END
    $stackctl up -d || fail "up"
    $stackctl engine install --now || fail "engine install"
    systemctl is-active --quiet stackctl.service || fail "the unit is not active"
    touch rebooted
    echo "guest reboots"
    sync
    systemctl reboot
}

second_boot() {
    cd "$folder" || end 1
    left=300
    until curl -sf http://127.0.0.1:8080/; do
        left=$((left - 1)); [ $left -gt 0 ] || fail "the stack has not come back"
        sleep 1
    done
    systemctl is-active --quiet stackctl.service || fail "the unit is not active"
    $stackctl ps -a
    for service in web db; do
        [ "$($stackctl ps --status running --services | grep -cx $service)" = 1 ] || fail "$service does not run"
    done
    [ "$($stackctl ps --status running --services | grep -cx once)" = 0 ] || fail "once was started"
    limit=$(find /sys/fs/cgroup -path '*stackctl*' -name memory.max -exec cat {} + | grep -c 67108864)
    [ "$limit" = 1 ] || fail "the memory limit is not set"
    $stackctl engine uninstall --force || fail "engine uninstall"
    [ -e /var/lib/stackctl ] && fail "the state root is still there"
    systemctl cat stackctl.service >/dev/null 2>&1 && fail "the unit is still there"
    [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 0 ] || fail "IP forwarding is still on"
    ip -o link | grep -q ' sc[0-9a-f]' && fail "a bridge is still there"
    nft list tables | grep -q stackctl && fail "a table is still there"
    find /sys/fs/cgroup -name 'stackctl*' ! -name '*.service' | grep -q . && fail "a control group is still there"
    end 0
}

if [ -e "$folder/rebooted" ]; then second_boot; else first_boot; fi
