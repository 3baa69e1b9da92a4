//! An invented `Cluster` of Kubermatic, with the fields and the size of a real one.

use serde_json::{Value, json};

/// Where Kubermatic `Cluster` objects live. They are cluster-scoped.
pub const CLUSTERS: &str = "/apis/kubermatic.k8c.io/v1/clusters";

/// A user cluster called `name`; about 4 KiB of JSON.
pub(super) fn cluster(name: &str) -> Value {
    let components = [
        "apiserver",
        "applicationController",
        "cloudProviderInfrastructure",
        "controller",
        "etcd",
        "gatewayController",
        "kubernetesDashboard",
        "machineController",
        "openvpn",
        "operatingSystemManager",
        "scheduler",
        "userClusterControllerManager",
    ];
    let health: Value = components
        .iter()
        .map(|component| ((*component).to_owned(), json!("HealthStatusUp")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let limits: Value = ["apiserver", "controllerManager", "scheduler", "etcd"]
        .iter()
        .map(|component| {
            let resources = json!({
                "replicas": 2,
                "resources": {
                    "requests": { "cpu": "100m", "memory": "256Mi" },
                    "limits": { "cpu": "2", "memory": "4Gi" },
                },
            });
            ((*component).to_owned(), resources)
        })
        .collect::<serde_json::Map<_, _>>()
        .into();
    json!({
        "apiVersion": "kubermatic.k8c.io/v1",
        "kind": "Cluster",
        "metadata": {
            "name": name,
            "generation": 3,
            "labels": {
                "project-id": "x7k2m9qd4v",
                "kubermatic.k8c.io/initial-datacenter": "eu-central-1a",
            },
            "annotations": {
                "kubermatic.io/aws-region": "eu-central-1",
                "kubermatic.k8c.io/initial-application-installations-request": "[]",
            },
            "finalizers": [
                "kubermatic.k8c.io/cleanup-etcdbackup-configs",
                "kubermatic.k8c.io/cleanup-kubermatic-clusters",
                "kubermatic.k8c.io/delete-nodes",
            ],
            "managedFields": managed_fields(),
        },
        "spec": {
            "humanReadableName": format!("production {name}"),
            "version": "1.33.4",
            "pause": false,
            "containerRuntime": "containerd",
            "exposeStrategy": "NodePort",
            "enableUserSSHKeyAgent": true,
            "enableOperatingSystemManager": true,
            "auditLogging": { "enabled": true, "policyPreset": "recommended" },
            "cloud": {
                "dc": "eu-central-1a",
                "providerName": "aws",
                "aws": {
                    "instanceProfileName": format!("kubernetes-{name}"),
                    "roleName": format!("kubernetes-{name}-control-plane"),
                    "routeTableId": "rtb-0f1e2d3c4b5a69788",
                    "securityGroupID": "sg-00112233445566778",
                    "vpcId": "vpc-0a1b2c3d4e5f60718",
                },
            },
            "clusterNetwork": {
                "dnsDomain": "cluster.local",
                "ipFamily": "IPv4",
                "nodeCidrMaskSizeIPv4": 24,
                "pods": { "cidrBlocks": ["172.25.0.0/16"] },
                "services": { "cidrBlocks": ["10.240.16.0/20"] },
                "proxyMode": "ipvs",
                "nodeLocalDNSCacheEnabled": true,
            },
            "cniPlugin": { "type": "cilium", "version": "1.17.7" },
            "componentsOverride": limits,
            "features": { "apiserverNetworkPolicy": true, "ccmClusterName": true },
            "oidc": {},
            "updateWindow": { "start": "Sun 02:00", "length": "4h" },
        },
        "status": {
            "namespaceName": format!("cluster-{name}"),
            "userEmail": "ops@example.com",
            "phase": "Running",
            "encryption": null,
            "versions": {
                "apiserver": "1.33.4",
                "controlPlane": "1.33.4",
                "controllerManager": "1.33.4",
                "scheduler": "1.33.4",
                "oldestNodeVersion": "1.33.2",
            },
            "address": {
                "url": format!("https://{name}.eu.kubermatic.example:31443"),
                "externalName": format!("{name}.eu.kubermatic.example"),
                "internalURL": format!("https://apiserver.cluster-{name}.svc.cluster.local."),
                "port": 31_443,
                "ip": "198.51.100.17",
            },
            "extendedHealth": health,
            "conditions": [
                condition("ClusterInitialized", "Cluster has been initialized successfully"),
                condition("SeedResourcesUpToDate", "All control plane components are up to date"),
                condition("EtcdClusterInitialized", "Etcd has been initialized successfully"),
            ],
        },
    })
}

fn condition(name: &str, message: &str) -> Value {
    json!({
        "type": name,
        "status": "True",
        "kubermaticVersion": "v2.28.3",
        "lastHeartbeatTime": "2026-11-21T05:00:00Z",
        "lastTransitionTime": "2026-01-01T00:04:00Z",
        "message": message,
    })
}

/// The part of the metadata that is larger than everything else and of no use to anybody.
fn managed_fields() -> Value {
    let fields = ["f:cloud", "f:clusterNetwork", "f:cniPlugin", "f:componentsOverride", "f:oidc"];
    let owned: Value = fields
        .iter()
        .map(|field| {
            let below = json!({ ".": {}, "f:providerName": {}, "f:version": {}, "f:type": {} });
            ((*field).to_owned(), below)
        })
        .collect::<serde_json::Map<_, _>>()
        .into();
    json!([{
        "apiVersion": "kubermatic.k8c.io/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": { "f:metadata": { "f:finalizers": {} }, "f:spec": owned },
        "manager": "seed-controller-manager",
        "operation": "Update",
        "time": "2026-11-21T05:00:00Z",
    }])
}
