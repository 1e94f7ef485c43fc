"""Questions that a receipt of a shop or a restaurant does not answer, to see whether that is said.

Some ask for what never stands there; the others use the words of such documents, since a guess is likeliest there.
"""

OFF_DOCUMENT = (
    "What is the capital of France?",
    "Who wrote this novel?",
    "What is the patient's blood type?",
    "How many people live in this town?",
    "What is the wifi password?",
    "Which flight number is booked?",
    "What is the weather forecast for tomorrow?",
    "What is the date of birth of the customer?",
    "When is the payment due?",
    "What is the expected delivery date?",
    "What is the IBAN of the bank account?",
    "What is the customer's passport number?",
    "How much was the tip for the driver?",
    "What is the monthly rent?",
    "What is the interest rate of the loan?",
    "What is the nationality of the applicant?",
    "Which doctor signed the prescription?",
    "What is the warranty period in years?",
    "How much was the helicopter ride?",
    "What is the licence plate of the car?",
    "病人的血型是什么？",
    "航班号是多少？",
    "合同的到期日期是哪天？",
    "申请人的国籍是什么？",
    "出生日期是哪天？",
    "月租金是多少？",
)
