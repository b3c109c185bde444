/*
 * Whether the kernel has a part of itself that containers or Docker need: loaded, built in, or there to
 * be loaded. Texts in, answer out; what no text tells is unknown, not absent.
 */
#pragma once

enum modules_state {
	MODULES_UNKNOWN,  /* the texts do not tell */
	MODULES_READY,    /* loaded or built in */
	MODULES_LOADABLE, /* there is a module of that name */
	MODULES_ABSENT,
};

/* What the host says of its modules; NULL for a text that cannot be read. All borrowed. */
struct modules_texts {
	const char *filesystems;  /* /proc/filesystems */
	const char *loaded;       /* /proc/modules; a kernel that loads no modules has none */
	const char *builtin;      /* modules.builtin of the running kernel */
	const char *dependencies; /* its modules.dep */
};

/*
 * Judge a module by its name ("br_netfilter"); '-' and '_' are the same, as they are for modprobe.
 * filesystem is the type that it brings, NULL when it brings none.
 */
enum modules_state modules_judge(const struct modules_texts *texts, const char *name,
				 const char *filesystem);
