/* The roots of containers: which there are, and the verbs that change them. */
#include <errno.h>

#include "common/str.h"
#include "tests/support/fake_host_private.h"

const char *fake_host_method(const struct fake_host *host, Phoenix__CloneMethod method)
{
	static const char *const names[] = { NULL, "overlay", "snapshot", "reflink", "copy" };

	return method != PHOENIX__CLONE_METHOD__CLONE_AUTO ? names[method] :
	       host->method				   ? host->method :
							     "overlay";
}

void fake_host_make_root(struct fake_host *host, const Phoenix__ContainerSpec *spec,
		      struct fake_root *ret_root)
{
	text_copy(ret_root->image, sizeof(ret_root->image), spec->image);
	text_copy(ret_root->method, sizeof(ret_root->method), fake_host_method(host, spec->clone));
	ret_root->serial = ++host->roots;
}

/* Whether a root is as a spec wants it, as the real one judges it. */
static bool is_of(const struct fake_host *host, const struct fake_root *root,
		  const Phoenix__ContainerSpec *spec)
{
	return text_equal(root->image, spec->image) &&
	       (spec->clone == PHOENIX__CLONE_METHOD__CLONE_AUTO ||
		text_equal(root->method, fake_host_method(host, spec->clone)));
}

static int refuse_rebuild(const struct fake_host *host, const struct fake_container *container,
			  const Phoenix__ContainerRebuildRequest *input, struct ph_error *error)
{
	if (!container)
		return error_set(error, -ENOENT, "/fake", "apply", "there is no such container");
	if (!input->prepare && container->running && !is_of(host, &container->root, input->spec))
		return error_set(error, -EBUSY, container->name, "stop it", "it runs");
	return 0;
}

/* The kept one, or the prepared one, or a new one takes the place of the current one. */
static void change_root(struct fake_host *host, struct fake_container *container,
			const Phoenix__ContainerSpec *spec)
{
	struct fake_root next = is_of(host, &container->kept, spec) ? container->kept :
								      container->prepared;

	if (!is_of(host, &next, spec))
		fake_host_make_root(host, spec, &next);
	container->kept = container->root;
	container->root = next;
	container->prepared = (struct fake_root){ 0 };
}

VERB(container_rebuild, ContainerRebuildRequest, ContainerObservation)
{
	struct fake_host *host = host_of(service);
	Phoenix__ContainerObservation answer = PHOENIX__CONTAINER_OBSERVATION__INIT;
	struct fake_container *container = fake_host_find(host, input->spec->name);
	struct ph_error error;

	FAIL_BEFORE("ContainerRebuild");
	if (refuse_rebuild(host, container, input, &error) < 0) {
		rpc_fail(request, &error);
		return;
	}
	answer.changed = !is_of(host, &container->root, input->spec) &&
			 (!input->prepare || (!is_of(host, &container->kept, input->spec) &&
					      !is_of(host, &container->prepared, input->spec)));
	host->writes += answer.changed;
	host->prepared_running += answer.changed && input->prepare && container->running;
	if (answer.changed && input->prepare)
		fake_host_make_root(host, input->spec, &container->prepared);
	else if (answer.changed)
		change_root(host, container, input->spec);
	FAIL_AFTER("ContainerRebuild");
	fake_host_observe(host, input->spec->name, &answer);
	reply(&answer, request);
}

VERB(container_discard, ContainerRequest, ContainerObservation)
{
	struct fake_host *host = host_of(service);
	Phoenix__ContainerObservation answer = PHOENIX__CONTAINER_OBSERVATION__INIT;
	struct fake_container *container = fake_host_find(host, input->name);

	FAIL_BEFORE("ContainerDiscard");
	answer.changed = container && (container->kept.serial || container->prepared.serial);
	host->writes += answer.changed;
	if (container)
		container->kept = container->prepared = (struct fake_root){ 0 };
	FAIL_AFTER("ContainerDiscard");
	fake_host_observe(host, input->name, &answer);
	reply(&answer, request);
}
