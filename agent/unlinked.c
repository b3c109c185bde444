/*
 * What the static binary would drag along and never call. An archive's member comes in when somebody
 * names a symbol of it; these symbols are named by members that we do need, and are defined here so
 * that nothing follows them. Whoever comes to use one of them gets a duplicate definition when linking.
 */
#include <errno.h>
#include <pwd.h>
#include <stddef.h>

/* libuv's uv_os_get_passwd(), in the file of its loop: 90 kB of name services and the dynamic loader. */
int getpwuid_r(uid_t user, struct passwd *entry, char *buffer, size_t size,
	       struct passwd **ret_entry)
{
	*ret_entry = NULL;
	return ENOSYS;
}

/*
 * libsodium's sodium_init() chooses among implementations of these: 150 kB of Argon2, Curve25519 with
 * Ed25519's arithmetic, Salsa20 and Poly1305. The handshake takes BLAKE2b, which is chosen apart.
 */
int _crypto_pwhash_argon2_pick_best_implementation(void);
int _crypto_scalarmult_curve25519_pick_best_implementation(void);
int _crypto_stream_salsa20_pick_best_implementation(void);
int _crypto_onetimeauth_poly1305_pick_best_implementation(void);

int _crypto_pwhash_argon2_pick_best_implementation(void)
{
	return 0;
}

int _crypto_scalarmult_curve25519_pick_best_implementation(void)
{
	return 0;
}

int _crypto_stream_salsa20_pick_best_implementation(void)
{
	return 0;
}

int _crypto_onetimeauth_poly1305_pick_best_implementation(void)
{
	return 0;
}
