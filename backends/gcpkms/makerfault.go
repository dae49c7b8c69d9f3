package gcpkms

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// explainMaking sorts an error of a call that makes something. Nothing secret is
// sent in one, but for a wrapped key, so the service's text can be shown.
func explainMaking(err error) *fault {
	f := explain(err)
	var own *fault
	var refused *credentialsError
	if errors.As(err, &own) || errors.As(err, &refused) {
		return f
	}
	st, _ := status.FromError(err)
	said := ": " + plain(st.Message())
	switch st.Code() {
	case codes.PermissionDenied:
		if reason, _ := details(st); reason != serviceDisabled && reason != billingDisabled {
			f.text = "permission denied, or there is no such key ring: to make keys takes cloudkms.cryptoKeys.create and .get, cloudkms.cryptoKeyVersions.create and .get (in roles/cloudkms.admin); to import also cloudkms.importJobs.create, .get and .useToImport (in roles/cloudkms.importer), all on the key ring" + said
		}
	case codes.NotFound:
		f.text = "not found: check project, location, key ring and key in the URI" + said
	case codes.FailedPrecondition:
		f.text = "not possible as things are" + said
	case codes.AlreadyExists:
		f.kind, f.tries, f.undone, f.text = unusable, 0, true, "exists already"+said
	case codes.InvalidArgument, codes.OutOfRange:
		f.text = "the service refuses the request, for example because the location has no HSM" + said
	}
	return f
}
