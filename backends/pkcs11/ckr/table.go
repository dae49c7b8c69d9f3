package ckr

// row is one line of the table.
type row struct {
	code  Code
	name  string
	class Class
}

// lookup finds a code in the table.
func lookup(c Code) (row, bool) {
	for _, r := range table() {
		if r.code == c {
			return r, true
		}
	}
	return row{}, false
}

// table lists, in the order of their numbers, the codes that the functions used
// here (load, find, log in, open, inspect, sign, draw random bytes, make and unwrap
// a key) may return.
// It is only read after a call has failed, so that it may be built each time
// and nobody can change it.
func table() []row {
	return []row{
		{0x001, "CKR_CANCEL", Retry},
		{0x002, "CKR_HOST_MEMORY", Retry},
		{0x003, "CKR_SLOT_ID_INVALID", Reload},
		{0x005, "CKR_GENERAL_ERROR", Reload},
		{0x006, "CKR_FUNCTION_FAILED", NewSession},
		{0x007, "CKR_ARGUMENTS_BAD", FatalToken},
		{0x009, "CKR_NEED_TO_CREATE_THREADS", FatalToken},
		{0x00A, "CKR_CANT_LOCK", FatalToken},
		{0x010, "CKR_ATTRIBUTE_READ_ONLY", FatalKey},
		{0x011, "CKR_ATTRIBUTE_SENSITIVE", FatalKey},
		{0x012, "CKR_ATTRIBUTE_TYPE_INVALID", FatalKey},
		{0x013, "CKR_ATTRIBUTE_VALUE_INVALID", FatalKey},
		{0x01B, "CKR_ACTION_PROHIBITED", FatalKey},
		{0x020, "CKR_DATA_INVALID", FatalKey},
		{0x021, "CKR_DATA_LEN_RANGE", FatalKey},
		{0x030, "CKR_DEVICE_ERROR", Reload},
		{0x031, "CKR_DEVICE_MEMORY", Retry},
		{0x032, "CKR_DEVICE_REMOVED", Reload},
		{0x050, "CKR_FUNCTION_CANCELED", Retry},
		{0x051, "CKR_FUNCTION_NOT_PARALLEL", NewSession},
		{0x054, "CKR_FUNCTION_NOT_SUPPORTED", FatalToken},
		{0x060, "CKR_KEY_HANDLE_INVALID", NewSession},
		{0x062, "CKR_KEY_SIZE_RANGE", FatalKey},
		{0x063, "CKR_KEY_TYPE_INCONSISTENT", FatalKey},
		{0x064, "CKR_KEY_NOT_NEEDED", FatalKey},
		{0x065, "CKR_KEY_CHANGED", NewSession},
		{0x066, "CKR_KEY_NEEDED", FatalKey},
		{0x068, "CKR_KEY_FUNCTION_NOT_PERMITTED", FatalKey},
		{0x070, "CKR_MECHANISM_INVALID", FatalKey},
		{0x071, "CKR_MECHANISM_PARAM_INVALID", FatalKey},
		{0x082, "CKR_OBJECT_HANDLE_INVALID", NewSession},
		{0x090, "CKR_OPERATION_ACTIVE", NewSession},
		{0x091, "CKR_OPERATION_NOT_INITIALIZED", NewSession},
		{0x0A0, "CKR_PIN_INCORRECT", FatalToken},
		{0x0A1, "CKR_PIN_INVALID", FatalToken},
		{0x0A2, "CKR_PIN_LEN_RANGE", FatalToken},
		{0x0A3, "CKR_PIN_EXPIRED", FatalToken},
		{0x0A4, "CKR_PIN_LOCKED", FatalToken},
		{0x0B0, "CKR_SESSION_CLOSED", NewSession},
		{0x0B1, "CKR_SESSION_COUNT", Retry},
		{0x0B3, "CKR_SESSION_HANDLE_INVALID", NewSession},
		{0x0B4, "CKR_SESSION_PARALLEL_NOT_SUPPORTED", FatalToken},
		{0x0B5, "CKR_SESSION_READ_ONLY", FatalToken},
		{0x0B7, "CKR_SESSION_READ_ONLY_EXISTS", Reload},
		{0x0B8, "CKR_SESSION_READ_WRITE_SO_EXISTS", Reload},
		{0x0D0, "CKR_TEMPLATE_INCOMPLETE", FatalKey},
		{0x0D1, "CKR_TEMPLATE_INCONSISTENT", FatalKey},
		{0x0E0, "CKR_TOKEN_NOT_PRESENT", Reload},
		{0x0E1, "CKR_TOKEN_NOT_RECOGNIZED", Reload},
		{0x0E2, "CKR_TOKEN_WRITE_PROTECTED", FatalToken},
		{0x0F0, "CKR_UNWRAPPING_KEY_HANDLE_INVALID", NewSession},
		{0x0F1, "CKR_UNWRAPPING_KEY_SIZE_RANGE", FatalKey},
		{0x0F2, "CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT", FatalKey},
		{0x100, "CKR_USER_ALREADY_LOGGED_IN", Retry},
		{0x101, "CKR_USER_NOT_LOGGED_IN", Relogin},
		{0x102, "CKR_USER_PIN_NOT_INITIALIZED", FatalToken},
		{0x103, "CKR_USER_TYPE_INVALID", FatalToken},
		{0x104, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", Reload},
		{0x105, "CKR_USER_TOO_MANY_TYPES", FatalToken},
		{0x110, "CKR_WRAPPED_KEY_INVALID", FatalKey},
		{0x112, "CKR_WRAPPED_KEY_LEN_RANGE", FatalKey},
		{0x120, "CKR_RANDOM_SEED_NOT_SUPPORTED", FatalToken},
		{0x121, "CKR_RANDOM_NO_RNG", FatalToken},
		{0x130, "CKR_DOMAIN_PARAMS_INVALID", FatalKey},
		{0x140, "CKR_CURVE_NOT_SUPPORTED", FatalKey},
		{0x150, "CKR_BUFFER_TOO_SMALL", NewSession},
		{0x170, "CKR_INFORMATION_SENSITIVE", FatalKey},
		{0x190, "CKR_CRYPTOKI_NOT_INITIALIZED", Reload},
		{0x191, "CKR_CRYPTOKI_ALREADY_INITIALIZED", Reload},
		{0x1A0, "CKR_MUTEX_BAD", Reload},
		{0x1A1, "CKR_MUTEX_NOT_LOCKED", Reload},
		{0x1B0, "CKR_NEW_PIN_MODE", FatalToken},
		{0x1B1, "CKR_NEXT_OTP", FatalToken},
		{0x1B6, "CKR_FIPS_SELF_TEST_FAILED", FatalToken},
		{0x1B7, "CKR_LIBRARY_LOAD_FAILED", FatalToken},
		{0x1B9, "CKR_PUBLIC_KEY_INVALID", FatalKey},
		{0x200, "CKR_FUNCTION_REJECTED", FatalToken},
		{0x201, "CKR_TOKEN_RESOURCE_EXCEEDED", Retry},
		{0x202, "CKR_OPERATION_CANCEL_FAILED", NewSession},
	}
}
