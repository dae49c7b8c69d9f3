// A fake PKCS#11 module: it stands in front of a real one, passes everything on,
// and does wrong what the control file tells it to. It exists for tests only.
//
// Its control file has the name of the module with ".control" at the end, so that
// it needs no environment. Go writes what is to happen; this side counts calls.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "pkcs11go.h"

// Written by the Go side from its list of names: FUNCTIONS(X), one X(name) each.
#include "functions.h"

enum {
#define X(name) AT_##name,
	FUNCTIONS(X)
#undef X
	COUNT
};

// The actions, in the order of the Go constants.
enum { RETURN, CRASH, ABORT, HANG, HANG_DEAF, DELAY, FLIP_BIT, CUT_BYTE };

// fault is what happens in one function. All words are 64 bits, and so are those
// of Go.
struct fault {
	uint64_t calls;  // counted here
	uint64_t skip;   // so many calls are left alone first
	uint64_t times;  // so many calls are done wrong; UINT64_MAX: all
	uint64_t action;
	uint64_t value;  // the code to return, or milliseconds
	uint64_t late;   // 1: after the real module did its work
};

struct lie { uint64_t on, type, value; };

struct control {
	uint64_t set_flags, clear_flags;  // of the token
	uint64_t max_sessions;            // what the token says; UINT64_MAX: the truth
	uint64_t session_limit;           // what it allows, whatever it says; 0: all
	uint64_t refuse_pkcs1;            // see refuses_mechanism and C_Sign
	uint64_t refuse_code;
	uint64_t want_init_args;
	uint64_t typed_pin_len;
	char typed_pin[64];               // what somebody types on the keypad
	char init_args[512];              // written here
	char real_module[1024];
	struct lie lies[8];               // about CK_BBOOL attributes
	struct fault faults[COUNT];
};

enum { MECHANISM_MISSING = 1, DIGEST_INFO_ONLY = 2 };

static struct control *control;
static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST list;
static uint64_t open_sessions;
static CK_MECHANISM_TYPE mechanisms[4096];  // of the operation, by session

static CK_MECHANISM_TYPE *mechanism_of(CK_SESSION_HANDLE s) {
	return &mechanisms[s % (sizeof mechanisms / sizeof mechanisms[0])];
}

static void die(const char *why) {
	fprintf(stderr, "fake fault module: %s\n", why);
	_exit(97);
}

// due returns the fault that this call is to show, if any.
static struct fault *due(int at) {
	struct fault *f = &control->faults[at];
	__atomic_add_fetch(&f->calls, 1, __ATOMIC_SEQ_CST);
	uint64_t times = __atomic_load_n(&f->times, __ATOMIC_SEQ_CST);
	if (times == 0) {
		return NULL;
	}
	uint64_t skip = __atomic_load_n(&f->skip, __ATOMIC_SEQ_CST);
	while (skip > 0) {
		if (__atomic_compare_exchange_n(&f->skip, &skip, skip - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
			return NULL;
		}
	}
	while (times > 0) {
		if (times == UINT64_MAX ||
		    __atomic_compare_exchange_n(&f->times, &times, times - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
			return f;
		}
	}
	return NULL;
}

static CK_RV act(struct fault *f, CK_RV rv) {
	sigset_t all;
	switch (f->action) {
	case RETURN:
		return f->value;
	case CRASH:
		*(volatile int *)0 = 1;
		break;
	case ABORT:
		abort();
	case HANG_DEAF:
		sigfillset(&all);
		sigprocmask(SIG_BLOCK, &all, NULL);
		// fall through
	case HANG:
		__atomic_add_fetch(&f->value, 1, __ATOMIC_SEQ_CST); // for Hanging
		for (;;) {
			pause();
		}
	case DELAY: {
		struct timespec t = {f->value / 1000, (f->value % 1000) * 1000000};
		while (nanosleep(&t, &t) != 0) {
		}
	}
	}
	return rv;
}

// CALL passes a call on, with what is to go wrong before or after it. A function
// that an earlier return would leave half done takes the fault late.
#define CALL(name, late_too, ...) \
	struct fault *f = due(AT_##name); \
	int late = f != NULL && (late_too || f->late); \
	CK_RV rv = CKR_OK; \
	if (f != NULL && !late) { \
		rv = act(f, CKR_OK); \
		if (f->action == RETURN) { \
			return rv; \
		} \
	} \
	rv = real->name(__VA_ARGS__); \
	if (late) { \
		rv = act(f, rv); \
	}

// PASS is a function in which nothing but a fault is special.
#define PASS(name, params, ...) \
	static CK_RV fake_##name params { \
		CALL(name, 0, __VA_ARGS__) \
		return rv; \
	}

static CK_RV fake_C_Initialize(CK_VOID_PTR p) {
	CK_C_INITIALIZE_ARGS args;
	memset(&args, 0, sizeof args);
	args.flags = CKF_OS_LOCKING_OK;
	if (p != NULL) {
		args = *(CK_C_INITIALIZE_ARGS *)p;
	}
	memset(control->init_args, 0, sizeof control->init_args);
	if (args.pReserved != NULL) {
		strncpy(control->init_args, args.pReserved, sizeof control->init_args - 1);
	}
	if (control->want_init_args) {
		if (args.pReserved == NULL) {
			return CKR_ARGUMENTS_BAD;
		}
		args.pReserved = NULL;
	}
	CALL(C_Initialize, 0, &args)
	return rv;
}

static CK_RV fake_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info) {
	CALL(C_GetTokenInfo, 0, slot, info)
	if (rv == CKR_OK && (info->flags & CKF_TOKEN_INITIALIZED)) {
		info->flags = (info->flags | control->set_flags) & ~control->clear_flags;
		if (control->max_sessions != UINT64_MAX) {
			info->ulMaxSessionCount = control->max_sessions;
		}
	}
	return rv;
}

static int refuses_mechanism(CK_MECHANISM_TYPE m) {
	return m == CKM_RSA_PKCS && control->refuse_pkcs1 == MECHANISM_MISSING;
}

static CK_RV fake_C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR m, CK_ULONG_PTR n) {
	CALL(C_GetMechanismList, 0, slot, m, n)
	if (rv == CKR_OK && m != NULL) {
		CK_ULONG kept = 0;
		for (CK_ULONG i = 0; i < *n; i++) {
			if (!refuses_mechanism(m[i])) {
				m[kept++] = m[i];
			}
		}
		*n = kept;
	}
	return rv;
}

static CK_RV fake_C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE m, CK_MECHANISM_INFO_PTR info) {
	CALL(C_GetMechanismInfo, 0, slot, m, info)
	return refuses_mechanism(m) ? CKR_MECHANISM_INVALID : rv;
}

static CK_RV fake_C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR app, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR s) {
	CALL(C_OpenSession, 0, slot, flags, app, notify, s)
	if (rv != CKR_OK) {
		return rv;
	}
	uint64_t open = __atomic_add_fetch(&open_sessions, 1, __ATOMIC_SEQ_CST);
	if (control->session_limit > 0 && open > control->session_limit) {
		__atomic_sub_fetch(&open_sessions, 1, __ATOMIC_SEQ_CST);
		real->C_CloseSession(*s);
		return CKR_SESSION_COUNT;
	}
	return rv;
}

static CK_RV fake_C_CloseSession(CK_SESSION_HANDLE s) {
	CALL(C_CloseSession, 0, s)
	if (rv == CKR_OK) {
		__atomic_sub_fetch(&open_sessions, 1, __ATOMIC_SEQ_CST);
	}
	return rv;
}

static CK_RV fake_C_Login(CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG len) {
	if (pin == NULL && (control->set_flags & CKF_PROTECTED_AUTHENTICATION_PATH)) {
		pin = (CK_UTF8CHAR_PTR)control->typed_pin;
		len = control->typed_pin_len;
	}
	CALL(C_Login, 0, s, user, pin, len)
	return rv;
}

static CK_RV fake_C_GetAttributeValue(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_PTR a, CK_ULONG n) {
	CALL(C_GetAttributeValue, 0, s, o, a, n)
	for (CK_ULONG i = 0; rv == CKR_OK && i < n; i++) {
		for (size_t j = 0; j < sizeof control->lies / sizeof control->lies[0]; j++) {
			const struct lie *lie = &control->lies[j];
			if (lie->on && lie->type == a[i].type && a[i].pValue != NULL && a[i].ulValueLen == sizeof(CK_BBOOL)) {
				*(CK_BBOOL *)a[i].pValue = lie->value != 0;
			}
		}
	}
	return rv;
}

static CK_RV fake_C_SignInit(CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key) {
	if (m != NULL) {
		if (refuses_mechanism(m->mechanism)) {
			return CKR_MECHANISM_INVALID;
		}
		*mechanism_of(s) = m->mechanism;
	}
	CALL(C_SignInit, 0, s, m, key)
	return rv;
}

// A question for the length is no signature: it is neither counted nor done wrong.
// A fault that returns a code comes late, because a failed C_Sign ends the
// operation (PKCS#11 v3.0, section 5.13.2), and only the real module can end it.
static CK_RV fake_C_Sign(CK_SESSION_HANDLE s, CK_BYTE_PTR data, CK_ULONG len, CK_BYTE_PTR sig, CK_ULONG_PTR sig_len) {
	if (sig == NULL) {
		return real->C_Sign(s, data, len, sig, sig_len);
	}
	CALL(C_Sign, f->action == RETURN, s, data, len, sig, sig_len)
	if (control->refuse_pkcs1 == DIGEST_INFO_ONLY && *mechanism_of(s) == CKM_RSA_PKCS && (len == 0 || data[0] != 0x30)) {
		return control->refuse_code;
	}
	if (rv == CKR_OK && f != NULL && f->action == FLIP_BIT) {
		sig[*sig_len / 2] ^= 1;
	}
	if (rv == CKR_OK && f != NULL && f->action == CUT_BYTE) {
		(*sig_len)--;
	}
	return rv;
}

PASS(C_Finalize, (CK_VOID_PTR p), p)
PASS(C_GetInfo, (CK_INFO_PTR i), i)
PASS(C_GetSlotList, (CK_BBOOL present, CK_SLOT_ID_PTR l, CK_ULONG_PTR n), present, l, n)
PASS(C_GetSessionInfo, (CK_SESSION_HANDLE s, CK_SESSION_INFO_PTR i), s, i)
PASS(C_Logout, (CK_SESSION_HANDLE s), s)
PASS(C_CreateObject, (CK_SESSION_HANDLE s, CK_ATTRIBUTE_PTR t, CK_ULONG n, CK_OBJECT_HANDLE_PTR o), s, t, n, o)
PASS(C_DestroyObject, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o), s, o)
PASS(C_FindObjectsInit, (CK_SESSION_HANDLE s, CK_ATTRIBUTE_PTR t, CK_ULONG n), s, t, n)
PASS(C_FindObjects, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE_PTR o, CK_ULONG max, CK_ULONG_PTR n), s, o, max, n)
PASS(C_FindObjectsFinal, (CK_SESSION_HANDLE s), s)
PASS(C_GenerateKeyPair, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR pub, CK_ULONG pub_n, CK_ATTRIBUTE_PTR priv, CK_ULONG priv_n, CK_OBJECT_HANDLE_PTR pub_o, CK_OBJECT_HANDLE_PTR priv_o),
	s, m, pub, pub_n, priv, priv_n, pub_o, priv_o)
PASS(C_UnwrapKey, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k, CK_BYTE_PTR w, CK_ULONG w_n, CK_ATTRIBUTE_PTR t, CK_ULONG n, CK_OBJECT_HANDLE_PTR o),
	s, m, k, w, w_n, t, n, o)
PASS(C_GenerateRandom, (CK_SESSION_HANDLE s, CK_BYTE_PTR b, CK_ULONG n), s, b, n)

// load finds the control file beside this module, and the real module.
static void load(void) {
	Dl_info self;
	if (dladdr((void *)load, &self) == 0) {
		die("cannot find its own file");
	}
	char path[4096];
	snprintf(path, sizeof path, "%s.control", self.dli_fname);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) != 0 || (size_t)st.st_size != sizeof *control) {
		die("its control file is missing or of another layout");
	}
	control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (control == MAP_FAILED) {
		die("cannot map its control file");
	}
	void *handle = dlopen(control->real_module, RTLD_NOW | RTLD_LOCAL);
	CK_C_GetFunctionList get = handle == NULL ? NULL : (CK_C_GetFunctionList)dlsym(handle, "C_GetFunctionList");
	if (get == NULL || get(&real) != CKR_OK) {
		die("cannot load the real module");
	}
	// What is not in the list goes to the real module directly.
	list = *real;
#define X(name) list.name = fake_##name;
	FUNCTIONS(X)
#undef X
}

static CK_RV list_fake(CK_FUNCTION_LIST_PTR_PTR out);

// The only function that this module shows.
__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR out) {
	return list_fake(out);
}

static CK_RV list_fake(CK_FUNCTION_LIST_PTR_PTR out) {
	if (real == NULL) {
		load();
		list.C_GetFunctionList = list_fake;
	}
	*out = &list;
	return CKR_OK;
}
