def median: sort | if length % 2 == 1 then .[length / 2 | floor]
	else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def rounded: . * 100 | round / 100;
def middle(name): if $series[name] then ($series[name] | median | rounded) else null end;
def times(name; ours): if $series[name] then (middle(name) / middle(ours) | rounded) else null end;
(($series.floor | max - min) / ($series.floor | median)) as $drift |
if $drift > $maximum then
	"no report: the floor moved by \($drift * 100 | round) % between rounds (at most \($maximum * 100) %); the machine is busy, run it again\n" |
	halt_error(1)
else {
	benchmark: "lxc", confinement: $confinement,
	goal: {
		health: {faster_than_ansible_ping: 1000, faster_than_parallel_attach: 20},
		no_op_rollout: {faster_than_ansible_serial: 100}
	},
	containers: {asked: $bare, with_docker: $docker},
	notes: [
		"health, no_op: the command line's start included; medians of the rounds",
		"install: measured once for each tool, in fresh running containers with a package repository of their own",
		"no_op: an apply looks into every container; a rollout compares what is asked with what was carried out, and touches nothing",
		"Phoenix also proves by a nested container that Docker and its storage work, after install and change; the others wait for Docker to answer",
		"with_docker is two for each processor unless PH_BENCH_DOCKER says otherwise: twenty Docker daemons starting at once measure the processors"
	],
	floor: {attach_true_ms: middle("floor"), drift: ($drift | rounded)},
	health_ms: {
		phoenix: middle("phoenix_health"), attach_loop: middle("attach_loop"),
		attach_parallel: middle("attach_parallel"),
		ansible_ping: (middle("ansible_ping") // {skipped: $ansible}),
		lxd_list: (middle("lxd_list") // {skipped: $lxd}), lxd_exec_parallel: (middle("lxd_exec") // {skipped: $lxd})
	},
	no_op_ms: {
		phoenix_bare: middle("phoenix_no_op"),
		phoenix_apply: middle("phoenix_converged"), phoenix_rollout: middle("phoenix_rollout_no_op"),
		script: middle("script_converged"),
		ansible_serial: (middle("ansible_converged") // {skipped: $ansible})
	},
	install_ms: {
		phoenix: middle("phoenix_install"), script: middle("script_install"),
		ansible: (middle("ansible_install") // {skipped: $ansible})
	},
	one_setting_ms: {
		phoenix: middle("phoenix_change"), script: middle("script_change"),
		ansible: (middle("ansible_change") // {skipped: $ansible})
	},
	ratio: {
		health: (middle("phoenix_health") / middle("floor") | rounded),
		health_faster_than_ansible_ping: times("ansible_ping"; "phoenix_health"),
		health_faster_than_parallel_attach: times("attach_parallel"; "phoenix_health"),
		health_faster_than_lxd_list: times("lxd_list"; "phoenix_health"),
		no_op_rollout_faster_than_ansible_serial: times("ansible_converged"; "phoenix_rollout_no_op"),
		no_op_apply_faster_than_ansible_serial: times("ansible_converged"; "phoenix_converged"),
		no_op_faster_than_script: times("script_converged"; "phoenix_converged")
	},
	rounds: $rounds, series_ms: $series,
	machine: {cpus: $cpus, memory_mib: $memory, kernel: $kernel}, date: $date
} end
