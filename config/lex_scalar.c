/* Strings, numbers and words, and what libconfig would make of them. */

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "config/lex_int.h"
#include "supervisord/base/buf.h"

/* One string literal. libconfig's escapes pass as they are. */
static int
read_string(struct lex *x)
{
	unsigned from = x->line;

	buf_char(x->out, '"');
	for (x->p++; x->p < x->end && *x->p != '"'; x->p++) {
		if (lex_at(x, "\\x00"))
			return lex_bad(
			    x, x->line, "a string can't hold a NUL byte");
		if (*x->p == '\\' && x->p + 1 < x->end) {
			buf_char(x->out, '\\');
			if (x->p[1] != '\n')
				x->p++;
		}
		if (*x->p == '\n') {
			lex_newline(x);
			buf_str(x->out, "\\n");
		} else {
			buf_char(x->out, *x->p);
		}
	}
	if (x->p == x->end)
		return lex_bad(
		    x, from, "this string is never closed: a quote is missing");
	x->p++;
	buf_char(x->out, '"');
	if (x->line > from) {
		x->string_from = from;
		x->string_to = x->line;
	}
	return 0;
}

/* "a" "b" is one string. */
int
lex_strings(struct lex *x)
{
	int err;

	do {
		err = read_string(x);
		if (err == 0)
			err = lex_skip(x);
	} while (err == 0 && x->p < x->end && *x->p == '"');
	return err;
}

static int
check_integer(
    struct lex *x, const char *word, int base, bool wide, enum scalar *ret)
{
	long long n;

	*ret = wide ? SCALAR_INT64 : SCALAR_INT;
	errno = 0;
	/* Sixteen hexadecimal digits are a pattern of bits to libconfig, and
	 * to nobody here. */
	n = strtoll(word, NULL, base);
	if (errno == ERANGE)
		return lex_bad(x, x->line, "%s is too big a number", word);
	if (!wide && (n > INT_MAX || n < INT_MIN))
		return lex_bad(x, x->line,
		    "%s does not fit into 32 bits: write %sL, or a string "
		    "with a unit (\"4G\")",
		    word, word);
	return 0;
}

static bool
is_float(const char *word)
{
	const char *p = word + strspn(word, "+-");
	size_t digits = strspn(p, "0123456789");

	if (p > word + 1)
		return false;
	p += digits;
	if (*p == '.') {
		size_t more = strspn(p + 1, "0123456789");

		digits += more;
		p += 1 + more;
	}
	if (digits > 0 && (*p == 'e' || *p == 'E')) {
		p++;
		if (*p == '+' || *p == '-')
			p++;
		if (!isdigit((unsigned char)*p))
			return false;
		p += strspn(p, "0123456789");
	}
	return digits > 0 && *p == '\0';
}

static int
check_number(struct lex *x, char *word, enum scalar *ret)
{
	size_t n = strlen(word);
	bool hex = strncasecmp(word, "0x", 2) == 0, wide = false;
	const char *digits =
	    hex ? word + 2 : word + (*word == '-' || *word == '+');

	if (is_float(word) && strpbrk(word, ".eE") != NULL) {
		*ret = SCALAR_FLOAT;
		if (strtod(word, NULL) > 1e300 || strtod(word, NULL) < -1e300)
			return lex_bad(
			    x, x->line, "%s is too big a number", word);
		return 0;
	}
	while (n > 0 && word[n - 1] == 'L' && strlen(word) - n < 2) {
		wide = true;
		n--;
	}
	if (strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789") !=
		(size_t)(word + n - digits) ||
	    digits == word + n)
		return lex_bad(x, x->line,
		    "\"%s\" is not a number; text needs quotes: \"%s\"", word,
		    word);
	word[n] = '\0';
	return check_integer(x, word, hex ? 16 : 10, wide, ret);
}

int
lex_number(struct lex *x, enum scalar *ret)
{
	char word[64];
	const char *from = x->p;
	size_t n;

	while (x->p < x->end &&
	       (isalnum((unsigned char)*x->p) || *x->p == '.' || *x->p == '_' ||
		   ((*x->p == '-' || *x->p == '+') &&
		       (x->p == from || x->p[-1] == 'e' || x->p[-1] == 'E'))))
		x->p++;
	n = (size_t)(x->p - from);
	if (n >= sizeof word)
		return lex_bad(
		    x, x->line, "%.20s... is too long a number", from);
	memcpy(word, from, n);
	word[n] = '\0';
	buf_add(x->out, from, n);
	return check_number(x, word, ret);
}

int
lex_word(struct lex *x, enum scalar *ret)
{
	int n = lex_word_size(x);

	if ((n == 4 && strncasecmp(x->p, "true", 4) == 0) ||
	    (n == 5 && strncasecmp(x->p, "false", 5) == 0)) {
		buf_add(x->out, x->p, (size_t)n);
		x->p += n;
		*ret = SCALAR_BOOL;
		return 0;
	}
	return lex_bad(x, x->line, "text needs quotes: \"%.*s\"", n, x->p);
}
