// Package deploy checks what is in deploy/ without a cluster and without systemd:
// manifests are built as kustomize builds them and held to the schemas of
// Kubernetes, and the daemons' command lines in them are read as the daemons do.
package deploy

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	openapi "github.com/google/gnostic-models/openapiv2"
	"google.golang.org/protobuf/proto"
	schema "k8s.io/kube-openapi/pkg/util/proto"
	"k8s.io/kube-openapi/pkg/util/proto/validation"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi/kubernetesapi"

	"qmq/config"
)

// overlays are what people apply.
var overlays = []string{"alone", "replicated"}

// object is one of a manifest.
type object map[string]any

// at is what is below the keys; nil: there is nothing.
func (o object) at(keys ...any) any {
	var v any = map[string]any(o)
	for _, key := range keys {
		switch key := key.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[key]
		case int:
			list, _ := v.([]any)
			if key >= len(list) {
				return nil
			}
			v = list[key]
		}
	}
	return v
}

func (o object) name() string { return fmt.Sprint(o.at("kind"), " ", o.at("metadata", "name")) }

// strings are a list below the keys.
func (o object) strings(keys ...any) (list []string) {
	all, _ := o.at(keys...).([]any)
	for _, v := range all {
		list = append(list, fmt.Sprint(v))
	}
	return list
}

// build is an overlay as kustomize builds it.
func build(t *testing.T, overlay string) map[string]object {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join("..", "..", "deploy", "kubernetes", "overlays", overlay))
	if err != nil {
		t.Fatal(err)
	}
	objects := make(map[string]object)
	for _, r := range built.Resources() {
		m, err := r.Map()
		if err != nil {
			t.Fatal(err)
		}
		objects[object(m).name()] = m
	}
	return objects
}

// schemas are those that kustomize carries of Kubernetes, by kind.
func schemas(t *testing.T) map[string]schema.Schema {
	t.Helper()
	version := kubernetesapi.DefaultOpenAPI
	text := kubernetesapi.OpenAPIMustAsset[version]("kubernetesapi/" + strings.ReplaceAll(version, ".", "_") + "/swagger.pb")
	var document openapi.Document
	if err := proto.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	models, err := schema.NewOpenAPIData(&document)
	if err != nil {
		t.Fatal(err)
	}
	byKind := make(map[string]schema.Schema)
	for _, name := range models.ListModels() {
		model := models.LookupModel(name)
		kinds, _ := model.GetExtensions()["x-kubernetes-group-version-kind"].([]any)
		for _, kind := range kinds {
			k, _ := kind.(map[any]any)
			version := fmt.Sprint(k["version"])
			if group := fmt.Sprint(k["group"]); group != "" {
				version = group + "/" + version
			}
			byKind[version+" "+fmt.Sprint(k["kind"])] = model
		}
	}
	return byKind
}

// invalid says what of an object is not as the schema of its kind has it: keys that
// there are not, values of other types, what is missing.
func invalid(known map[string]schema.Schema, o object) []error {
	kind := fmt.Sprint(o.at("apiVersion"), " ", o.at("kind"))
	model := known[kind]
	if model == nil {
		return []error{fmt.Errorf("there is no %s", kind)}
	}
	return validation.ValidateModel(map[string]any(o), model, o.name())
}

func TestManifestsAreValid(t *testing.T) {
	known := schemas(t)
	for _, overlay := range overlays {
		objects := build(t, overlay)
		if len(objects) != 10 {
			t.Errorf("%s has %d objects", overlay, len(objects))
		}
		for _, o := range objects {
			for _, err := range invalid(known, o) {
				t.Errorf("%s: %v", overlay, err)
			}
			if o.at("kind") != "Namespace" && o.at("metadata", "namespace") != "q" {
				t.Errorf("%s: %s is in no namespace of its own", overlay, o.name())
			}
		}
	}
}

// TestWhatIsInvalidIsFound, so that the test above means something.
func TestWhatIsInvalidIsFound(t *testing.T) {
	known := schemas(t)
	set := func(spec map[string]any) object {
		return object{"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": map[string]any{"name": "qd"}, "spec": spec}
	}
	template := map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "qd"}}}}
	for what, o := range map[string]object{
		"an unknown key":    set(map[string]any{"serviceName": "qd", "selector": map[string]any{}, "template": template, "replica": 3}),
		"a wrong type":      set(map[string]any{"serviceName": "qd", "selector": map[string]any{}, "template": template, "replicas": "three"}),
		"a missing key":     set(map[string]any{"serviceName": "qd", "selector": map[string]any{}}),
		"an unknown kind":   {"apiVersion": "apps/v1", "kind": "StatefulSets"},
		"an unknown deeper": set(map[string]any{"serviceName": "qd", "selector": map[string]any{}, "template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "qd", "arg": "x"}}}}}),
	} {
		if len(invalid(known, o)) == 0 {
			t.Errorf("%s is not found", what)
		}
	}
}

// TestNodesHaveNamesThatStayAndLeaveInGoodOrder.
func TestNodesHaveNamesThatStayAndLeaveInGoodOrder(t *testing.T) {
	for _, overlay := range overlays {
		objects := build(t, overlay)
		for _, name := range []string{"qd", "qlookupd"} {
			set, service := objects["StatefulSet "+name], objects["Service "+name]
			if set.at("spec", "serviceName") != name || service.at("spec", "clusterIP") != "None" || service.at("spec", "publishNotReadyAddresses") != true {
				t.Errorf("%s: %s has no headless service that names pods before they are ready", overlay, name)
			}
			if budget := objects["PodDisruptionBudget "+name]; fmt.Sprint(budget.at("spec", "maxUnavailable")) != "1" ||
				fmt.Sprint(budget.at("spec", "selector")) != fmt.Sprint(set.at("spec", "selector")) {
				t.Errorf("%s: the budget of %s is %v", overlay, name, budget.at("spec"))
			}
			args := set.strings("spec", "template", "spec", "containers", 0, "args")
			if want := "--broadcast-address=$(POD_NAME)." + name + ".$(POD_NAMESPACE).svc"; !slices.Contains(args, want) {
				t.Errorf("%s: %s announces itself otherwise than as %s: %q", overlay, name, want, args)
			}
		}
		qd := objects["StatefulSet qd"]
		container := func(keys ...any) any {
			return qd.at(append([]any{"spec", "template", "spec", "containers", 0}, keys...)...)
		}
		for probe, path := range map[string]string{"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"} {
			if got := container(probe, "httpGet", "path"); got != path {
				t.Errorf("%s: the %s asks %v", overlay, probe, got)
			}
		}
		if command := qd.strings("spec", "template", "spec", "containers", 0, "lifecycle", "preStop", "exec", "command"); len(command) < 2 || command[1] != "drain" {
			t.Errorf("%s: before a pod stops there is %q", overlay, command)
		}
		q := optionsOf(t, qd).Values()
		if grace := fmt.Sprint(qd.at("spec", "template", "spec", "terminationGracePeriodSeconds")); grace <= fmt.Sprint(int(q.DrainTimeout.Seconds())) {
			t.Errorf("%s: a pod is killed after %s s, and may drain for %s", overlay, grace, q.DrainTimeout)
		}
		if members := len(q.ClusterPeers); overlay == "replicated" && members != 3 || overlay == "alone" && members != 0 {
			t.Errorf("%s: %d members", overlay, members)
		}
	}
}

// optionsOf reads the command line of the first pod's qd, as the kubelet expands it.
func optionsOf(t *testing.T, set object) *config.Settings[config.QD] {
	t.Helper()
	args := set.strings("spec", "template", "spec", "containers", 0, "args")
	values := strings.NewReplacer("$(POD_NAME)", "qd-0", "$(POD_NAMESPACE)", "q", "$(POD_INDEX)", "0", "--data-path=/data", "--data-path="+t.TempDir())
	for i := range args {
		args[i] = values.Replace(args[i])
	}
	if args[0] != "qd" {
		t.Fatalf("it runs %s", args[0])
	}
	settings, err := config.ParseQD(args[1:])
	if err != nil {
		t.Fatal(err)
	}
	if warnings := settings.Warnings(); len(warnings) > 0 {
		t.Errorf("it warns: %q", warnings)
	}
	return settings
}

func TestPodsMayDoLittle(t *testing.T) {
	for _, overlay := range overlays {
		for name, o := range build(t, overlay) {
			pod, ok := o.at("spec", "template", "spec").(map[string]any)
			if !ok {
				continue
			}
			p, c := object(pod), object(object(pod).at("containers", 0).(map[string]any))
			if p.at("securityContext", "runAsNonRoot") != true || p.at("securityContext", "seccompProfile", "type") != "RuntimeDefault" || p.at("automountServiceAccountToken") != false {
				t.Errorf("%s: %s: %v", overlay, name, p.at("securityContext"))
			}
			if c.at("securityContext", "allowPrivilegeEscalation") != false || c.at("securityContext", "readOnlyRootFilesystem") != true ||
				fmt.Sprint(c.strings("securityContext", "capabilities", "drop")) != "[ALL]" {
				t.Errorf("%s: %s: %v", overlay, name, c.at("securityContext"))
			}
			if c.at("resources", "limits", "memory") == nil || c.at("readinessProbe") == nil || c.at("livenessProbe") == nil {
				t.Errorf("%s: %s has no limit of memory, or no probes", overlay, name)
			}
		}
	}
}
