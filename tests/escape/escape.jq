# Joins the results of all conditions: {tap: [lines], table: [{condition, ...}]}.
# Input: all JSON lines, slurped. Every attempt is measured against the host's root, the control; $vacuous is the
# text of tests/escape/vacuous, which says where there is none and why, $bed the name of the bed.
def id: .theme + "/" + .name + (if .access == "" then "" else " (" + .access + ")" end);
def where: (if .step == "" then "" else " at " + .step end)
	+ (if .errno == "" then "" else " " + .errno end)
	+ (if .detail == "" then "" else ": " + .detail end);
def is_stopped: .outcome == "refused" or (.outcome == "absent" and .hidden);
# What Docker puts over a file of procfs hides it from the usual way.
def is_masked: .outcome == "absent" and .step == "masked";
def is_missing: .outcome == "absent" and (.hidden or is_masked | not);
def line(good; text): (if good then "ok" else "not ok" end) + " - " + text;

[$vacuous | split("\n")[] | select(test("^[^#]")) | split(" | ")
	| {beds: (.[0] | split(" ")), row: .[1], reason: .[2]}] as $lacking
| [.[] | select(.condition == "host")] as $host
# What the host's root could do, by attempt, and by row for accesses in a nested namespace, where
# even that root is nobody.
| (reduce $host[] as $r ({}; .[$r | id] = $r)) as $control
| (reduce ($host[] | select(.outcome == "done")) as $r ({}; .[$r.theme + "/" + $r.name] = true)) as $rows
| def controlled: .controlled or ($control[id].outcome == "done")
	or (.access == "nested" and $rows[.theme + "/" + .name]);
def denied: select(.group == "denied");
# Why the host's root can't do it on this bed, and where it can; null where that is unknown.
def lacking: . as $r | first($lacking[] | select(.beds | index($bed)) | select(.row == ($r | .theme + "/" + .name, id))
	| (["uml", "guest", "guest13"] - .beds) as $proven
	| .reason + if $proven == [] then "" else "; tried on \($proven | join(" and "))" end) // null;
def confined: ["named", "stacked"];
# Into the policy namespace of a stacked container, which is its own; that the host's policy is as it was, the script
# looks up afterwards.
def is_own_policy: (.condition | endswith("stacked")) and (.outcome == "done" or .outcome == "absent")
	and (.theme + "/" + .name | test("^(labels/(open \\.(load|replace|remove)|(replace|remove) a profile of the host)"
		+ "|sockets/leaked root: the profiles|choices/list of profiles)$"));
def nested: ["docker", "docker-stacked", "docker-mount-api"] | . + map(sub("docker"; "docker-privileged"));
# In a nested container under profiles/seccomp-mount-api: mounts of its own, which that policy is there for.
def is_own_mount: (.condition | test("^docker.*mount-api$")) and .theme == "mount-api"
	and (.name | test("^(ramfs|proc|sysfs) |^fsopen by the 32-bit gate$"));

{
	control: ([$host[] | denied | select(controlled) | line(true; "control: \(id) is done by the host's root")]
		+ ([$host[] | denied | select(controlled | not) | {row: id, at: where, known: lacking}]
			| [group_by(.known)[] | if .[0].known == null
			then .[] | line(false; "control: \(.row): the host's root can't do it either:\(.at)")
			else "ok - control: not here: \(map(.row) | join(", ")) # SKIP \(.[0].known)" end])),
	confined: [.[] | select(.condition as $c | confined | index($c))
		| . as $r | (.condition + ": " + .group + ": " + id) as $title
		| if .group == "denied" then
			(if controlled | not then empty
			 elif is_own_policy then line(true; "\($title): its own namespace's")
			 elif .outcome == "absent" and (.hidden | not) then
				line(false; "\($title): vacuous, the object is absent:\(where)")
			 else line(is_stopped; "\($title)\(if is_stopped then "" else ": " + .outcome + where end)") end)
		  elif is_own_policy then line(true; "\($title): its own namespace's")
		  elif .group == "policy" and .outcome == "absent" then "ok - \($title) # SKIP not here:\(where)"
		  else line(.expected; "\($title)\(if .expected then "" else ": " + .outcome + where end)") end],
	nested: [[.[] | select(.condition as $c | nested | index($c)) | denied | select(controlled)]
		| (.[] | (.condition + ": denied: " + id) as $title
			| if is_masked then line(true; "\($title): masked by Docker")
			elif is_missing or is_own_mount or is_own_policy then empty
			else line(is_stopped; "\($title)\(if is_stopped then "" else ": " + .outcome + where end)") end),
		([.[] | select(is_missing)] | group_by(.condition)[]
			| "ok - \(.[0].condition): not in there: \(map(id) | join(", ")) # SKIP Docker shows no such object")],
	walls: [.[] | select(.condition | startswith("only-")) | denied | select(controlled)
		| (.condition | ltrimstr("only-")) as $wall
		| select((.walls | index($wall)) or ((.walls | index("namespace"))))
		| line(is_stopped; "\($wall) alone stops \(id)\(if is_stopped then "" else ": " + .outcome + where end)")],
	table: [group_by(.condition)[] | {
		condition: .[0].condition,
		denied: [.[] | denied] | length,
		stopped: [.[] | denied | select(controlled and is_stopped)] | length,
		through: [.[] | denied | select(controlled and .outcome == "done" and (is_own_policy | not))] | length,
		without_control: [.[] | denied | select(controlled | not)] | length,
		absent: [.[] | denied | select(controlled and .outcome == "absent" and (.hidden | not))] | length,
		hung: [.[] | denied | select(.outcome == "hung" or .outcome == "broken")] | length,
		allowed: [.[] | select(.group == "allowed")] | length,
		allowed_done: [.[] | select(.group == "allowed" and .outcome == "done")] | length,
		policy: [.[] | select(.group == "policy")] | length,
		policy_as_decided: [.[] | select(.group == "policy" and .expected)] | length,
		through_names: [.[] | denied | select(controlled and .outcome == "done" and (is_own_mount or is_own_policy | not)) | id]
	}],
	# Per wall: what it was asked for, what it stopped alone.
	layers: [["userns", "apparmor", "seccomp", "devices"][] as $wall
		| [.[] | select(.condition == "only-" + $wall) | denied | select(controlled)] | {
		wall: $wall,
		claimed: [.[] | select(.walls | index($wall))] | length,
		stopped: [.[] | select((.walls | index($wall)) and is_stopped)] | length,
		more: [.[] | select((.walls | index($wall) | not) and is_stopped)] | length
	}]
}
