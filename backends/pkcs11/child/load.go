package child

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

// bundlesign_try_load loads a module, and leaves it loaded. It returns NULL, or
// what was wrong in memory that the caller frees. It is one function because
// dlerror is of the thread.
static char *bundlesign_try_load(const char *path) {
	void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (handle == NULL) {
		return strdup(dlerror());
	}
	if (dlsym(handle, "C_GetFunctionList") == NULL) {
		dlclose(handle);
		return strdup("it has no function C_GetFunctionList");
	}
	return NULL;
}
*/
import "C"

import (
	"errors"
	"io/fs"
	"os"
	"unsafe"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/backends/pkcs11/internal/proto"
)

// load loads and initializes the vendor's module. The library that is used for
// everything else says only that it could not; the loader says why.
func load(path string) (*pkcs11.Ctx, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, &proto.Fault{Kind: proto.KindModuleMissing}
	}
	cPath := C.CString(path)
	defer C.free(unsafe.Pointer(cPath))
	if msg := C.bundlesign_try_load(cPath); msg != nil {
		defer C.free(unsafe.Pointer(msg))
		return nil, &proto.Fault{Kind: proto.KindModuleBad, Detail: C.GoString(msg)}
	}
	ctx := pkcs11.New(path)
	if ctx == nil {
		return nil, &proto.Fault{Kind: proto.KindModuleBad, Detail: "it could not be loaded a second time"}
	}
	// The default is CKF_OS_LOCKING_OK: the module locks for itself.
	if err := try("C_Initialize", ctx.Initialize()); err != nil {
		return nil, err
	}
	return ctx, nil
}
