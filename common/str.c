#include "common/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

#define NAME_MAXIMUM 63

void str_fini(struct str *str)
{
	free(str->data);
	*str = STR_INIT;
}

static void str_reserve(struct str *str, size_t more)
{
	size_t needed = str->length + more + 1;

	if (needed <= str->capacity)
		return;
	str->capacity = needed < 64 ? 64 : needed * 2;
	str->data = ph_realloc(str->data, str->capacity);
}

void str_append_bytes(struct str *str, const void *bytes, size_t length)
{
	str_reserve(str, length);
	if (length)
		memcpy(str->data + str->length, bytes, length);
	str->length += length;
	str->data[str->length] = '\0';
}

void str_append(struct str *str, const char *text)
{
	str_append_bytes(str, text, strlen(text));
}

void str_vappendf(struct str *str, const char *format, va_list arguments)
{
	va_list again;
	int length;

	va_copy(again, arguments);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (length < 0)
		return;
	str_reserve(str, (size_t)length);
	vsnprintf(str->data + str->length, (size_t)length + 1, format, arguments);
	str->length += (size_t)length;
}

void str_appendf(struct str *str, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	str_vappendf(str, format, arguments);
	va_end(arguments);
}

const char *str_text(const struct str *str)
{
	return str->data ? str->data : "";
}

char *str_take(struct str *str)
{
	char *text = str->data ? str->data : ph_strdup("");

	*str = STR_INIT;
	return text;
}

bool text_copy(char *buffer, size_t size, const char *text)
{
	return (size_t)snprintf(buffer, size, "%s", text ? text : "") < size;
}

bool text_equal(const char *left, const char *right)
{
	return strcmp(left ? left : "", right ? right : "") == 0;
}

bool text_empty(const char *text)
{
	return !text || !text[0];
}

static bool is_continuation(unsigned char byte)
{
	return (byte & 0xc0) == 0x80;
}

size_t text_character(const char *text)
{
	const unsigned char *byte = (const unsigned char *)text;
	unsigned char lowest = 0x80, highest = 0xbf; /* of the second byte */
	size_t length = byte[0] < 0xe0 ? 2 : byte[0] < 0xf0 ? 3 : 4;

	if (byte[0] < 0x80)
		return byte[0] != 0;
	if (byte[0] < 0xc2 || byte[0] > 0xf4)
		return 0;
	if (byte[0] == 0xe0)
		lowest = 0xa0;
	else if (byte[0] == 0xed)
		highest = 0x9f;
	else if (byte[0] == 0xf0)
		lowest = 0x90;
	else if (byte[0] == 0xf4)
		highest = 0x8f;
	if (byte[1] < lowest || byte[1] > highest)
		return 0;
	for (size_t i = 2; i < length; i++)
		if (!is_continuation(byte[i]))
			return 0;
	return length;
}

bool text_has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool text_has_suffix(const char *text, const char *suffix)
{
	size_t length = strlen(text), tail = strlen(suffix);

	return length >= tail && strcmp(text + length - tail, suffix) == 0;
}

static bool is_name_byte(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
}

bool name_is_valid(const char *name)
{
	size_t length = name ? strnlen(name, NAME_MAXIMUM + 1) : 0;

	if (length == 0 || length > NAME_MAXIMUM || !is_name_byte(name[0]))
		return false;
	for (size_t i = 1; i < length; i++)
		if (!is_name_byte(name[i]) && name[i] != '-')
			return false;
	return true;
}

bool file_name_is_valid(const char *name)
{
	if (text_empty(name) || strlen(name) > 255)
		return false;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	return !strchr(name, '/');
}

int text_to_u64(const char *text, uint64_t maximum, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (text_empty(text))
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return -EINVAL;
	}
	if (value > maximum)
		return -EINVAL;
	*ret_value = value;
	return 0;
}

int text_to_ipv4(const char *text, uint32_t *ret_address)
{
	struct in_addr address;

	if (text_empty(text) || inet_pton(AF_INET, text, &address) != 1)
		return -EINVAL;
	*ret_address = ntohl(address.s_addr);
	return 0;
}

char *ipv4_to_text(uint32_t address, char text[16])
{
	snprintf(text, 16, "%u.%u.%u.%u", address >> 24, (address >> 16) & 255,
		 (address >> 8) & 255, address & 255);
	return text;
}

char *bytes_to_hex(const void *bytes, size_t length, char *text)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *byte = bytes;

	for (size_t i = 0; i < length; i++) {
		text[2 * i] = digits[byte[i] >> 4];
		text[2 * i + 1] = digits[byte[i] & 15];
	}
	text[2 * length] = '\0';
	return text;
}
