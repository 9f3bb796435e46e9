#!/usr/bin/env bash
# Run the product in a cluster on this machine, by kind:  charts/kind.sh up | down
# BASE=image chooses another base image for the three images (Dockerfile).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CLUSTER=rtmp-transponder
NAMESPACE=transponder
RELEASE=transponder
CONTEXT=kind-$CLUSTER
PROGRAMS=(api operator relay)
VALUES=charts/rtmp-transponder/ci/kind-values.yaml

say() { printf '%s\n' "$*" >&2; }
die() { say "kind-up: $*"; exit 1; }

need() {  # program, where to get it
    command -v "$1" >/dev/null || die "$1 is needed: $2"
}

check_programs() {
    need docker https://docs.docker.com/engine/install/
    need kind https://kind.sigs.k8s.io/docs/user/quick-start/#installation
    need kubectl https://kubernetes.io/docs/tasks/tools/
    need helm https://helm.sh/docs/intro/install/
    docker info >/dev/null 2>&1 || die "docker is installed, but its daemon does not answer (docker info)"
}

exists() { kind get clusters 2>/dev/null | grep -qx "$CLUSTER"; }

make_cluster() {
    exists || kind create cluster --config kind-config.yaml --wait 120s
    kubectl --context "$CONTEXT" get namespace "$NAMESPACE" >/dev/null 2>&1 ||
        kubectl --context "$CONTEXT" create namespace "$NAMESPACE"
    # relays take ports of the node, which the other levels of Pod Security forbid
    kubectl --context "$CONTEXT" label --overwrite namespace "$NAMESPACE" pod-security.kubernetes.io/enforce=privileged
}

image() { printf 'rtmp-transponder-%s:%s' "$1" "$TAG"; }

make_images() {
    local program
    for program in "${PROGRAMS[@]}"; do
        say "kind-up: image $(image "$program")"
        docker build --quiet --target "$program" --tag "$(image "$program")" ${BASE:+--build-arg "BASE=$BASE"} . >/dev/null
        kind load docker-image --name "$CLUSTER" "$(image "$program")"
    done
}

install() {
    helm upgrade --install "$RELEASE" charts/rtmp-transponder --kube-context "$CONTEXT" --namespace "$NAMESPACE" \
        --values "$VALUES" --set "image.tag=$TAG" --wait --timeout 5m >/dev/null
}

print_addresses() {
    cat <<END

page, REST, WHIP, WHEP   http://127.0.0.1:8081/
WebSDK                   ws://127.0.0.1:8080
media                    UDP 127.0.0.1:40000-40031

kubectl --context $CONTEXT --namespace $NAMESPACE get rtmptransponders,streams,pods
make kind-down
END
}

case ${1:-} in
    up)
        check_programs
        # a tag of its own for each state of the sources, so that changed images are taken
        TAG=dev-$(tar --create --sort=name --mtime=@0 --exclude=__pycache__ \
            Dockerfile pyproject.toml constraints.txt api crds local operator relay | sha256sum | cut -c 1-12)
        make_cluster
        make_images
        install
        print_addresses
        ;;
    down)
        need kind https://kind.sigs.k8s.io/docs/user/quick-start/#installation
        kind delete cluster --name "$CLUSTER"
        ;;
    *)
        say "usage: charts/kind.sh up | down"
        exit 2
        ;;
esac
