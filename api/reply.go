package api

import (
	"encoding/json"
	"net/http"
)

// reply is a successful answer with the JSON that our own types make: every
// field there, null where there is no value. It is encoded before anything is
// written, so that an error can still be told.
type reply struct {
	status int
	v      any
	header map[string]string
}

func (r reply) write(w http.ResponseWriter) error {
	marshal := func() ([]byte, error) { return json.Marshal(r.v) }
	if m, ok := r.v.(json.Marshaler); ok {
		marshal = m.MarshalJSON // json.Marshal would read all of it again
	}
	b, err := marshal()
	if err != nil {
		p := internal.because("The log has the details.")
		p.cause = err
		return p
	}
	for name, value := range r.header {
		w.Header().Set(name, value)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.status)
	_, err = w.Write(append(b, '\n'))
	return err
}

// The operations that are answered so. Whether an answer is what the document
// promises, the tests check of every one.

func (r reply) VisitSendMessageResponse(w http.ResponseWriter) error              { return r.write(w) }
func (r reply) VisitSendBatchResponse(w http.ResponseWriter) error                { return r.write(w) }
func (r reply) VisitListMessagesResponse(w http.ResponseWriter) error             { return r.write(w) }
func (r reply) VisitGetMessageResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitCancelMessageResponse(w http.ResponseWriter) error            { return r.write(w) }
func (r reply) VisitRedactMessageResponse(w http.ResponseWriter) error            { return r.write(w) }
func (r reply) VisitListPDUsResponse(w http.ResponseWriter) error                 { return r.write(w) }
func (r reply) VisitGetTimelineResponse(w http.ResponseWriter) error              { return r.write(w) }
func (r reply) VisitListConsentsResponse(w http.ResponseWriter) error             { return r.write(w) }
func (r reply) VisitGetConsentResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitRecordConsentResponse(w http.ResponseWriter) error            { return r.write(w) }
func (r reply) VisitListModemsResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitGetModemResponse(w http.ResponseWriter) error                 { return r.write(w) }
func (r reply) VisitListSignalResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitAimModemResponse(w http.ResponseWriter) error                 { return r.write(w) }
func (r reply) VisitGetSystemResponse(w http.ResponseWriter) error                { return r.write(w) }
func (r reply) VisitResetModemResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitEnterPINResponse(w http.ResponseWriter) error                 { return r.write(w) }
func (r reply) VisitGetSettingsResponse(w http.ResponseWriter) error              { return r.write(w) }
func (r reply) VisitChangeSettingsResponse(w http.ResponseWriter) error           { return r.write(w) }
func (r reply) VisitAskNetworkResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitGetQueueResponse(w http.ResponseWriter) error                 { return r.write(w) }
func (r reply) VisitGetClockResponse(w http.ResponseWriter) error                 { return r.write(w) }
func (r reply) VisitListAlarmsResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitTestAlarmsResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitListDeliveriesResponse(w http.ResponseWriter) error           { return r.write(w) }
func (r reply) VisitDropDeliveryResponse(w http.ResponseWriter) error             { return r.write(w) }
func (r reply) VisitRetryDeliveryResponse(w http.ResponseWriter) error            { return r.write(w) }
func (r reply) VisitPreviewMessageResponse(w http.ResponseWriter) error           { return r.write(w) }
func (r reply) VisitCountNumberResponse(w http.ResponseWriter) error              { return r.write(w) }
func (r reply) VisitGetOwnKeyResponse(w http.ResponseWriter) error                { return r.write(w) }
func (r reply) VisitListKeysResponse(w http.ResponseWriter) error                 { return r.write(w) }
func (r reply) VisitCreateKeyResponse(w http.ResponseWriter) error                { return r.write(w) }
func (r reply) VisitLimitKeyResponse(w http.ResponseWriter) error                 { return r.write(w) }
func (r reply) VisitRevokeKeyResponse(w http.ResponseWriter) error                { return r.write(w) }
func (r reply) VisitRotateKeyResponse(w http.ResponseWriter) error                { return r.write(w) }
func (r reply) VisitListWebhooksResponse(w http.ResponseWriter) error             { return r.write(w) }
func (r reply) VisitCreateWebhookResponse(w http.ResponseWriter) error            { return r.write(w) }
func (r reply) VisitGetWebhookResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitChangeWebhookResponse(w http.ResponseWriter) error            { return r.write(w) }
func (r reply) VisitEnableWebhookResponse(w http.ResponseWriter) error            { return r.write(w) }
func (r reply) VisitTestWebhookResponse(w http.ResponseWriter) error              { return r.write(w) }
func (r reply) VisitRotateWebhookSecretResponse(w http.ResponseWriter) error      { return r.write(w) }
func (r reply) VisitReplayWebhookResponse(w http.ResponseWriter) error            { return r.write(w) }
func (r reply) VisitGetCallbackSecretResponse(w http.ResponseWriter) error        { return r.write(w) }
func (r reply) VisitRotateCallbackSecretResponse(w http.ResponseWriter) error     { return r.write(w) }
func (r reply) VisitListHooksResponse(w http.ResponseWriter) error                { return r.write(w) }
func (r reply) VisitCreateHookResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitPreviewHookResponse(w http.ResponseWriter) error              { return r.write(w) }
func (r reply) VisitGetHookResponse(w http.ResponseWriter) error                  { return r.write(w) }
func (r reply) VisitUpdateHookResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitRotateHookResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitListPeopleResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitAddPersonResponse(w http.ResponseWriter) error                { return r.write(w) }
func (r reply) VisitGetPersonResponse(w http.ResponseWriter) error                { return r.write(w) }
func (r reply) VisitChangePersonResponse(w http.ResponseWriter) error             { return r.write(w) }
func (r reply) VisitInvitePersonResponse(w http.ResponseWriter) error             { return r.write(w) }
func (r reply) VisitSignOutPersonResponse(w http.ResponseWriter) error            { return r.write(w) }
func (r reply) VisitGetChatResponse(w http.ResponseWriter) error                  { return r.write(w) }
func (r reply) VisitGetInboxResponse(w http.ResponseWriter) error                 { return r.write(w) }
func (r reply) VisitSetInboxResponse(w http.ResponseWriter) error                 { return r.write(w) }
func (r reply) VisitListConversationsResponse(w http.ResponseWriter) error        { return r.write(w) }
func (r reply) VisitBeginConversationResponse(w http.ResponseWriter) error        { return r.write(w) }
func (r reply) VisitGetConversationResponse(w http.ResponseWriter) error          { return r.write(w) }
func (r reply) VisitChangeConversationResponse(w http.ResponseWriter) error       { return r.write(w) }
func (r reply) VisitListConversationMessagesResponse(w http.ResponseWriter) error { return r.write(w) }
func (r reply) VisitSendInConversationResponse(w http.ResponseWriter) error       { return r.write(w) }
func (r reply) VisitInviteToConversationResponse(w http.ResponseWriter) error     { return r.write(w) }
func (r reply) VisitReadConversationResponse(w http.ResponseWriter) error         { return r.write(w) }
func (r reply) VisitBlockConversationResponse(w http.ResponseWriter) error        { return r.write(w) }
func (r reply) VisitUnblockConversationResponse(w http.ResponseWriter) error      { return r.write(w) }
func (r reply) VisitListNotesResponse(w http.ResponseWriter) error                { return r.write(w) }
func (r reply) VisitAddNoteResponse(w http.ResponseWriter) error                  { return r.write(w) }
func (r reply) VisitGetDraftResponse(w http.ResponseWriter) error                 { return r.write(w) }
func (r reply) VisitSaveDraftResponse(w http.ResponseWriter) error                { return r.write(w) }
func (r reply) VisitListContactsResponse(w http.ResponseWriter) error             { return r.write(w) }
func (r reply) VisitCreateContactResponse(w http.ResponseWriter) error            { return r.write(w) }
func (r reply) VisitGetContactResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitChangeContactResponse(w http.ResponseWriter) error            { return r.write(w) }
func (r reply) VisitListGroupsResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitCreateGroupResponse(w http.ResponseWriter) error              { return r.write(w) }
func (r reply) VisitGetGroupResponse(w http.ResponseWriter) error                 { return r.write(w) }
func (r reply) VisitRenameGroupResponse(w http.ResponseWriter) error              { return r.write(w) }
func (r reply) VisitAddMembersResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitListGatewaysResponse(w http.ResponseWriter) error             { return r.write(w) }
func (r reply) VisitAddGatewayResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitGetGatewayResponse(w http.ResponseWriter) error               { return r.write(w) }
func (r reply) VisitChangeGatewayResponse(w http.ResponseWriter) error            { return r.write(w) }
func (r reply) VisitRotateGatewayCredentialsResponse(w http.ResponseWriter) error { return r.write(w) }
func (r reply) VisitMoveGatewayMessagesResponse(w http.ResponseWriter) error      { return r.write(w) }
func (r reply) VisitCheckGatewayResponse(w http.ResponseWriter) error             { return r.write(w) }
func (r reply) VisitGetGatewayMirrorResponse(w http.ResponseWriter) error         { return r.write(w) }
