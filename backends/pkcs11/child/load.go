package child

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

// The part of CK_FUNCTION_LIST that is used here (PKCS#11 v2.40, section 3.6): a
// version and then pointers, in the order of the standard.
struct bundlesign_list {
	unsigned char version[2];
	void *functions[68];
};

typedef unsigned long (*bundlesign_login_function)(unsigned long, unsigned long, const unsigned char *, unsigned long);

// The library's own struct ctx, which a pkcs11.Ctx points to.
struct bundlesign_ctx {
	void *handle;
	struct bundlesign_list *list;
};

// bundlesign_try_load loads a module, and leaves it loaded. It returns NULL, or
// what was wrong in memory that the caller frees. It is one function because
// dlerror is of the thread.
static char *bundlesign_try_load(const char *path, void **handle) {
	*handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (*handle == NULL) {
		return strdup(dlerror());
	}
	if (dlsym(*handle, "C_GetFunctionList") == NULL) {
		dlclose(*handle);
		return strdup("it has no function C_GetFunctionList");
	}
	return NULL;
}

// bundlesign_list_of returns the functions that the library calls, or NULL if the
// library does not hold them where it is expected to: its handle must be the one
// that the loader gave for the same file. Some modules (p11-kit's) give every
// caller of C_GetFunctionList functions of its own, with a state of their own.
static struct bundlesign_list *bundlesign_list_of(struct bundlesign_ctx *ctx, void *handle) {
	return ctx->handle == handle ? ctx->list : NULL;
}

// bundlesign_login is C_Login. A null pointer asks for the PIN on the token's pad.
static unsigned long bundlesign_login(struct bundlesign_list *list, unsigned long session, unsigned long user, const unsigned char *pin, unsigned long size) {
	const int c_login = 18;
	return ((bundlesign_login_function)list->functions[c_login])(session, user, pin, size);
}
*/
import "C"

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"unsafe"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// module is a vendor's module, loaded and initialized.
type module struct {
	*pkcs11.Ctx
	list *C.struct_bundlesign_list
}

// load loads and initializes the vendor's module. The library that is used for
// everything else says only that it could not; the loader says why.
func load(path, initArgs string) (*module, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, &proto.Fault{Kind: proto.KindModuleMissing}
	}
	if err := checkELF(path); err != nil {
		return nil, &proto.Fault{Kind: proto.KindModuleBad, Detail: err.Error()}
	}
	m := new(module)
	var handle unsafe.Pointer
	cPath := C.CString(path)
	defer C.free(unsafe.Pointer(cPath))
	if msg := C.bundlesign_try_load(cPath, &handle); msg != nil {
		defer C.free(unsafe.Pointer(msg))
		return nil, &proto.Fault{Kind: proto.KindModuleBad, Detail: loaderSays(path, C.GoString(msg))}
	}
	if m.Ctx = pkcs11.New(path); m.Ctx == nil {
		return nil, &proto.Fault{Kind: proto.KindModuleBad, Detail: "it could not be loaded a second time"}
	}
	m.list = C.bundlesign_list_of(*(**C.struct_bundlesign_ctx)(unsafe.Pointer(m.Ctx)), handle)
	if m.list == nil {
		return nil, &proto.Fault{Kind: proto.KindModuleBad, Detail: "it has no list of functions"}
	}
	// The default is CKF_OS_LOCKING_OK: the module locks for itself.
	var options []pkcs11.InitializeOption
	if initArgs != "" {
		// Never freed: a module may keep the pointer.
		options = append(options, pkcs11.InitializeWithReserved(unsafe.Pointer(C.CString(initArgs))))
	}
	if err := try("C_Initialize", m.Initialize(options...)); err != nil {
		return nil, err
	}
	return m, nil
}

// loaderSays adds to the loader's message what it leaves to be guessed: that the
// file it speaks of is not the module.
func loaderSays(path, message string) string {
	if strings.Contains(message, "cannot open shared object file") && !strings.HasPrefix(message, path+":") {
		return "a library that it needs is missing: " + message
	}
	return message
}

// Login is C_Login with the bytes of the PIN where they are. The library's own
// makes two copies, which stay in memory, and cannot say that there is no PIN.
func (m *module) Login(s pkcs11.SessionHandle, user uint, pin []byte) error {
	var p *C.uchar
	if len(pin) > 0 {
		p = (*C.uchar)(unsafe.Pointer(&pin[0]))
	}
	code := C.bundlesign_login(m.list, C.ulong(s), C.ulong(user), p, C.ulong(len(pin)))
	if code != pkcs11.CKR_OK {
		return pkcs11.Error(code)
	}
	return nil
}
