/*
 * Requests that phoenixd would never make, one table of them. Knows the protocol, no sockets.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What stands where, as the script has made it. */
struct forged_place {
	const char *container; /* one of Phoenix, running */
	const char *foreign;   /* one of somebody else */
	const char *image;
	uint32_t ids_first;  /* of container */
	uint32_t slot;       /* of container */
	const char *address; /* of container */
	const char *gateway; /* of the network */
	const char *free_address;
	uint32_t free_ids; /* would be allowed */
};

enum forged_outcome {
	FORGED_REFUSED,   /* an error is the only answer */
	FORGED_UNCHANGED, /* an error, or an answer that says that nothing was changed */
	FORGED_DONE,      /* a control: it is done */
};

struct forged {
	char name[128];
	const char *verb;
	uint8_t *bytes; /* owned; of the request's message */
	size_t length;
	enum forged_outcome expected;
};

struct forged_list {
	struct forged *items; /* owned */
	size_t count;
};

/* Make them all; free with forged_list_fini(). */
void forged_list_init(struct forged_list *list, const struct forged_place *place);

/* Free the requests. */
void forged_list_fini(struct forged_list *list);
